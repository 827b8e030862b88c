"""The domain: tags on resources, changed under a lock that is a condition of the write.  No Flask, no HTTP in here."""
