"""Synthetic pictures: the dressed body in made-up scenes, with all that is true of them."""
