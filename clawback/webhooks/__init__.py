"""Events: what happened, one row for each change of state."""
