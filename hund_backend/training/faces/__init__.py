"""Synthetic faces with known ARKit coefficients, and what the face solve learns from them."""
