"""Metrics, data kits and the report."""
