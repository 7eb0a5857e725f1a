"""`clawback bench`: refunds over HTTP against a hand-written control, on one PostgreSQL."""
