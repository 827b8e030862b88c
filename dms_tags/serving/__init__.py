"""Running the service: its processes, its own mongod, its HTTP server."""
