"""Kinematic priors over pose."""
