"""Chains, their tags and the sessions that may change them (API.md section 5)."""
