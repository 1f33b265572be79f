"""Errors that end an edit of keys: one sentence for the user."""

from ...hund_backend.errors import BadInputError


class KeysError(BadInputError):
    """The keys cannot be edited: one sentence, what is wrong and what to do."""
