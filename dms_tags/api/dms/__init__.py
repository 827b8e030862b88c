"""The DMS tag API: tags of objects, and their history."""
