"""Captured motion: reading packs, retargeting, repair, rejection of artifacts, and splits."""
