"""Hands: the learned descent of HUND for a hand, and its fusion with the body."""
