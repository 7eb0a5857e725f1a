"""Payments: taken through a provider, captured whole, settled when due."""
