"""Faces: motion of ARKit keys for other meshes and programs, and the clip's sound."""
