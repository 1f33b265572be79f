"""How a command tells its progress: a bar on a terminal, JSON lines for programs, else quietly."""

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from ..progress import Progress

if TYPE_CHECKING:
    from tqdm import tqdm

INTERVAL = 0.1  # seconds between two JSON lines of one stage


def say(**event: Any) -> None:  # noqa: ANN401 - anything that JSON can hold
    """Write one JSON line."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def failure(error: Exception) -> str:
    """One sentence about an error that nobody foresaw."""
    what = " ".join(str(error).split())[:300]
    return f"Something unforeseen went wrong ({type(error).__name__}: {what}): see the log."


class Lines:
    """Progress as JSON lines; each is a small write, so a fast stage does not send them all."""

    def __init__(self, **fields: Any) -> None:  # noqa: ANN401
        self._fields = fields
        self._stage = ""
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        """Tell, unless this stage was told of a moment ago."""
        now = time.monotonic()
        if progress.stage == self._stage and now - self._last < INTERVAL:
            return
        self._stage, self._last = progress.stage, now
        say(event="progress", **self._fields, **vars(progress))

    def close(self) -> None:
        """Nothing is left open."""


class Bar:
    """Progress as a bar on the terminal, one for each stage."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stage = ""
        self._bar: tqdm | None = None

    def __call__(self, progress: Progress) -> None:
        """Move the bar."""
        if progress.stage != self._stage:
            from tqdm import tqdm

            self.close()
            self._stage = progress.stage
            unit = "frame" if progress.stage == "look" else "step"
            label = f"{self._name}: {progress.stage}"
            self._bar = tqdm(total=progress.total, desc=label, unit=unit, file=sys.stderr)
        self._bar.update(progress.done - self._bar.n)

    def close(self) -> None:
        """End the bar of the last stage."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Quiet:
    """Nothing to look at the progress."""

    def __call__(self, progress: Progress) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Nothing is left open."""


def teller(name: str, *, as_json: bool) -> Lines | Bar | Quiet:
    """What fits to whoever watches."""
    if as_json:
        return Lines(clip=name)
    return Bar(name) if sys.stderr.isatty() else Quiet()
