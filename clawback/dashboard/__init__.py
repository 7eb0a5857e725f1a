"""The dashboard: see where every cent is, and act, by the same calls as the API."""
