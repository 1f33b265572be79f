"""Faces: pretrained networks find the landmarks of the faces of the people of a clip."""
