"""The audit trail: the relay that fills it, the trail itself, its proof and its verification.  No Flask, no HTTP in here."""
