"""The DMS's own clients, unchanged: what they send byte for byte, and what they read of the answers."""
