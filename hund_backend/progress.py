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
