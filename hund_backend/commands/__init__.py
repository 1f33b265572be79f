"""The commands of `python -m hund_backend`, one a file; each imports what it needs when it runs."""
