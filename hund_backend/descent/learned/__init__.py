"""Learned descent: HUND's network, its inputs and losses, and its use over a whole track."""
