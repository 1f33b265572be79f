"""Faces: from landmarks of a face to ARKit coefficients of the body's keys and the head's turn."""
