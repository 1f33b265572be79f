"""Output of a command: JSON lines for programs, a progress bar on a terminal, or no progress."""

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from ..options import ProgressStage
from ..progress import Progress

if TYPE_CHECKING:
    from tqdm import tqdm

INTERVAL = 0.1  # least seconds between two JSON lines of one stage


def write_event(**event: Any) -> None:  # noqa: ANN401 - anything that JSON can hold
    """Write one JSON line to standard output."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def unexpected_error(error: Exception) -> str:
    """Return one sentence about an error that is not a HundError."""
    text = " ".join(str(error).split())[:300]
    return f"An unexpected error occurred ({type(error).__name__}: {text}): see the log."


class JsonLines:
    """Progress as JSON lines, throttled to one line of a stage per `INTERVAL`."""

    def __init__(self, **fields: Any) -> None:  # noqa: ANN401
        self._fields = fields
        self._stage = ""
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        """Write a line, unless this stage had one less than `INTERVAL` ago."""
        now = time.monotonic()
        if progress.stage == self._stage and now - self._last < INTERVAL:
            return
        self._stage, self._last = progress.stage, now
        write_event(event="progress", **self._fields, **vars(progress))

    def close(self) -> None:
        """Do nothing: no line is left open."""


class ProgressBar:
    """Progress as bars on the terminal, one for each stage."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stage = ""
        self._bar: tqdm | None = None

    def __call__(self, progress: Progress) -> None:
        """Move the bar; a new stage begins a new one."""
        if progress.stage != self._stage:
            from tqdm import tqdm

            self.close()
            self._stage = progress.stage
            unit = "frame" if progress.stage == ProgressStage.DETECT else "step"
            label = f"{self._name}: {progress.stage}"
            self._bar = tqdm(total=progress.total, desc=label, unit=unit, file=sys.stderr)
        self._bar.update(progress.done - self._bar.n)

    def close(self) -> None:
        """Close the bar of the last stage."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class NoProgress:
    """No progress output."""

    def __call__(self, progress: Progress) -> None:
        """Write nothing."""

    def close(self) -> None:
        """Do nothing."""


def progress_output(name: str, *, as_json: bool) -> JsonLines | ProgressBar | NoProgress:
    """Return JSON lines for a program, a bar for a terminal, else no output.

    Args:
        name: of the clip.
        as_json: whether a program reads the output.
    """
    if as_json:
        return JsonLines(clip=name)
    return ProgressBar(name) if sys.stderr.isatty() else NoProgress()
