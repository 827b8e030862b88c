"""Who calls, and what they may do: API tokens, JWTs, permissions.  No Flask, no HTTP in here."""
