"""Errors of everything that is done with faces."""


class FaceError(Exception):
    """A face cannot be used: one sentence that says what to do."""
