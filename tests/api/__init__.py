"""The HTTP frame: what holds for every route."""
