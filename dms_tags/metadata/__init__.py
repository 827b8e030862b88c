"""Metadata: labels on sites, users, WANs and accounts, and their definitions (API.md section 4)."""
