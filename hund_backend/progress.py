"""How a long job tells how far it is."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One step of a job."""

    stage: str  # "read", "look", "follow", "descend", "ground"
    done: int
    total: int | None  # None while it is not known


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Report to nobody."""
