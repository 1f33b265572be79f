"""HUND: people in a video as posed bodies. An ordinary PyTorch library that has never heard of Blender."""

__version__ = "0.1.0"
