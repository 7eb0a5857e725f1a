"""Merchants, their books and shops, and the keys that open them."""
