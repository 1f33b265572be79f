"""Fit: energy terms, their minimization by Levenberg–Marquardt, and its schedule over a track."""
