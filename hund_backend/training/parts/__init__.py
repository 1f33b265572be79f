"""Training of the part segmentation head."""
