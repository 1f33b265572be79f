"""Motion over a whole clip: posed tracks, contacts, ground, world."""
