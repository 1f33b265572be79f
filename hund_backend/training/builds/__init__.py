"""Training of the build network."""
