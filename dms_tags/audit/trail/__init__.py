"""The audit trail itself: the relay that fills it, and whatever reads it."""
