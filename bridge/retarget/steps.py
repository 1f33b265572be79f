"""Steps: long work that pauses now and then, so that a window can show progress and cancel.

While it is paused no temporary datablocks exist, so it can be left at any time.
"""

import time
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

import numpy as np

Result = TypeVar("Result")
# Called now and then with the share of the work that is done; raises to cancel.
Progress = Callable[[float], None]

_FIRST = 50  # frames, until it is known how long they take


def finish(steps: Generator[float, None, Result], report: Progress) -> Result:
    """Do all steps at once and return the result.

    Args:
        steps: yield the progress, 0…1.
        report: called with the progress.
    """
    try:
        while True:
            report(next(steps))
    except StopIteration as stop:
        return stop.value


def scaled(
    steps: Generator[float, None, Result], first: float, last: float
) -> Generator[float, None, Result]:
    """Return steps whose progress is a part of larger work, from `first` to `last`."""
    while True:
        try:
            share = next(steps)
        except StopIteration as stop:
            return stop.value
        yield first + (last - first) * share


class Pace:
    """Numbers of frames that are evaluated between two pauses."""

    def __init__(self, seconds: float) -> None:
        """Pause about every so many seconds; never if infinite."""
        self._seconds = seconds
        self._frames = _FIRST

    def spans(self, count: int) -> Iterator[slice]:
        """Yield the parts of `count` frames; the time until the next one is measured."""
        if not np.isfinite(self._seconds):
            yield slice(0, count)
            return
        start = 0
        while start < count:
            stop = min(start + self._frames, count)
            clock = time.perf_counter()
            yield slice(start, stop)
            rate = (stop - start) / max(time.perf_counter() - clock, 1e-6)
            self._frames = max(1, int(rate * self._seconds))
            start = stop
