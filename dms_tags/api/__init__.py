"""HTTP, and nothing else: one package per API, each with its routes, schemas and the shape of its errors."""
