"""Contacts of a character's feet as its reconstruction has them."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import job, timeline
from .contacts import Contacts

if TYPE_CHECKING:
    from ...hund_backend.reconstruction import Reconstruction

_COLUMNS = {"L": (0, 1), "R": (2, 3)}  # heel and toe in the file


def read(path: Path, person: int, fps: float, start: int, frames: np.ndarray) -> Contacts:
    """Return the contacts of a person in a file at frames of the scene.

    Args:
        path: of the reconstruction.
        person: index in it.
        fps: of the scene when the motion was written.
        start: frame of the scene that shows the first frame.
        frames: of the scene, (frames,).

    Raises:
        JobError: the file cannot be read.
    """
    reconstruction = job.load(path)
    timing = timeline.timing_of(reconstruction, fps, start)
    return at_frames(reconstruction, person, timing, frames)


def at_frames(
    reconstruction: "Reconstruction", person: int, timing: timeline.Timing, frames: np.ndarray
) -> Contacts:
    """Return the contacts of a person at frames of the scene, (frames,)."""
    values = reconstruction.contacts[person]
    return {
        side: np.stack(
            [np.interp(frames, timing.frames, values[:, column]) for column in columns], -1
        )
        for side, columns in _COLUMNS.items()
    }
