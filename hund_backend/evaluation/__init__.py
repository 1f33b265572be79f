"""Evaluation: metrics, data kits and the report."""
