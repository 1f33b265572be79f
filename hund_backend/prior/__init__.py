"""Kinematic priors over poses and motions."""
