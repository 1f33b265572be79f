"""Training of HUND for hands."""
