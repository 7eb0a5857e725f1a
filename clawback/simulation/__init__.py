"""What test keys may do besides: move the clock, script faults, make things happen to payments."""
