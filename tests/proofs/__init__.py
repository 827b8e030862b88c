"""The proofs that the invariants hold under races, crashes and fail-overs, on a real mongod.

The scenarios (`races`, `crashes`, `failover`, `relays`, `workers`, `statements`, `delays`) take their size as parameters: the
tests run small samples, `scripts/prove` the full sizes.  `oracle` judges what they leave behind, from the stored documents
alone, and `worked` what workers leave of a queue.
"""
