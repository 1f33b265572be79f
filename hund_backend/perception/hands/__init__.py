"""Hands: a pretrained network finds both hands of the people of a clip."""
