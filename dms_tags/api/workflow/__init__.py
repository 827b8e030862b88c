"""What workflow engines call: claims, leases, searches, batches and tag definitions (API.md section 3)."""
