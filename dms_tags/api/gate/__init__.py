"""What stands before every route: who calls, from where, and by which way."""
