"""`dms-tags audit`: its commands."""
