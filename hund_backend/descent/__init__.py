"""State, losses and the ways down: gradient-based fitting."""
