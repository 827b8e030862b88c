"""Subscriptions: changes sent to receivers over HTTPS, signed, in order of position, at least once (API.md section 9)."""
