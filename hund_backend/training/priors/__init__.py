"""Training of the pose flow, the hand flow and the dynamics; fitting of the Gaussian."""
