"""Backups: the trail as exports that prove themselves, beside it what replaying the trail does not give; and the way back."""
