"""The console: pages for people who answer for records (API.md section 9)."""
