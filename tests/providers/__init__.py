"""Tests of the provider port, its adapters and its tables."""
