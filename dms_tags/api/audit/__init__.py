"""`/api/dms/audit`: questions, exports, and the log that proves them."""
