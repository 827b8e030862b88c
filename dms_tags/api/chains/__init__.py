"""The chain tags API: tags of chains, for administrators with a session."""
