"""Perception: pretrained networks detect and track the people of a clip."""
