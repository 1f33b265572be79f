"""Errors for the user, each with an exit code and one sentence that says what to do."""

import enum
import string
from collections.abc import Callable


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


class OptionError(BadInputError):
    """An option has a value that cannot be used.

    The command line and Blender's panel have other names for the same option, so the text is a
    template that mentions options as `{start}`.
    """

    def __init__(self, template: str, **values: object) -> None:
        """Word the error for the command line.

        Args:
            template: one sentence with names of options, and other fields, in braces.
            values: of the other fields.
        """
        self._template, self._values = template, values
        super().__init__(self.worded(lambda option: f"--{option}"))

    def worded(self, name_of: Callable[[str], str]) -> str:
        """Return the sentence with an option's name in other words."""
        fields = {field for _, field, _, _ in string.Formatter().parse(self._template) if field}
        names = {field: name_of(field) for field in fields - self._values.keys()}
        return self._template.format(**names, **self._values)


class NobodyFoundError(HundError):
    """No person was found in the chosen frames."""

    exit_code = ExitCode.NOBODY_FOUND


class CancelledError(HundError):
    """The user stopped the work."""

    exit_code = ExitCode.CANCELLED
