"""Renderers: images of posed bodies as a camera sees them."""
