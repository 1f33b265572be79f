"""Progress reports of a job."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Progress:
    """State of a job in one stage."""

    stage: str  # a `ProgressStage`, where it counts also the person: "pose 1/2"
    done: int
    total: int | None  # None while it is not known


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Report nothing."""


def step_report(report: Report, stage: str, total: int | None) -> Callable[[int], None]:
    """Return a function that reports the number of steps done in a stage."""
    return lambda done: report(Progress(stage=stage, done=done, total=total))
