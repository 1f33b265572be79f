"""HUND: people in a video as posed bodies. A PyTorch library, independent of Blender."""

__version__ = "0.1.0"
