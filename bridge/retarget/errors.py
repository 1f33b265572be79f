"""Errors that end a retargeting: one sentence for the user."""

from ...hund_backend.errors import BadInputError


class RetargetError(BadInputError):
    """The motion cannot be applied: one sentence, what is wrong and what to do."""
