"""Claims: every demand on a payment, of which a refund is one kind."""
