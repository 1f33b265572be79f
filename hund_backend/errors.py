"""Errors for the user, each with an exit code and one sentence that says what to do."""

import enum


class ExitCode(enum.IntEnum):
    """Exit codes of the command line (docs/architecture.md)."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    NOBODY_FOUND = 3
    CANCELLED = 130


class HundError(Exception):
    """Error whose text is one sentence for the user, shown without a traceback."""

    exit_code = ExitCode.FAILED


class BadInputError(HundError):
    """The clip, an option, the weights or the output folder cannot be used."""

    exit_code = ExitCode.BAD_INPUT


class NobodyFoundError(HundError):
    """No person was found in the chosen frames."""

    exit_code = ExitCode.NOBODY_FOUND


class CancelledError(HundError):
    """The user stopped the work."""

    exit_code = ExitCode.CANCELLED
