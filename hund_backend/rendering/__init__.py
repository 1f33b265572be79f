"""From posed bodies to pictures: what a camera sees of a mesh."""
