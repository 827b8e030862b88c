"""Verifying a trail: of a file with nothing but a public key, of a live service, or of a database."""
