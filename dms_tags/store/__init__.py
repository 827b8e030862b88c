"""The ground that the stores stand on: the connection to MongoDB, its documents, its indexes."""
