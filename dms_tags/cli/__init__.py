"""The command `dms-tags`: one module for each of its commands."""
