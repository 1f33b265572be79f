"""Recipes and the data they are made from; not in the zip."""
