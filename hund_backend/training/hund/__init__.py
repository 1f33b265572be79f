"""Training of HUND: samples, detector errors, supervision and metrics."""
