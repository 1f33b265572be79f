"""Synthetic pictures: the dressed body in generated scenes, with ground truth."""
