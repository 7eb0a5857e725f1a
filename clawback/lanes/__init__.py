"""The one way in which money and claims change: commands, decided in batches, applied at once."""
