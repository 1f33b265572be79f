"""Timeline: maps a clip's frames to a scene's frames."""

import math
from typing import TYPE_CHECKING, NamedTuple

import bpy
import numpy as np

from . import resample

if TYPE_CHECKING:
    from ..hund_backend.reconstruction import Reconstruction

_FRAME_TOLERANCE = 0.1  # frames: largest deviation of a time stamp from a whole frame


class Timing(NamedTuple):
    """Frames of a reconstruction in a scene's time."""

    fps: float  # of the scene
    start: int  # frame of the scene that shows the first frame
    frames: np.ndarray  # (frames,): in the scene's time, not always whole
    keys: resample.Resampler  # where the motion is keyed

    @property
    def end(self) -> int:
        """Frame of the scene that shows the last frame, rounded up."""
        return math.ceil(self.frames[-1])

    def nearest(self, frame: float) -> int | None:
        """Index of the reconstruction's frame at a scene's frame; None outside and in gaps."""
        distances = np.abs(self.frames - frame)
        typical_step = np.median(np.diff(self.frames)) if len(self.frames) > 1 else 1.0
        is_near = distances.min() <= max(typical_step, 1.0) / 2
        return int(distances.argmin()) if is_near else None


def timing_of(
    reconstruction: "Reconstruction", fps: float, start: int, *, use_subframes: bool = False
) -> Timing:
    """Time a reconstruction for a scene with a given frame rate.

    The motion's speed does not depend on the scene's rate: a clip of 60 frames per second has its
    frames 0.4 frames apart in a scene of 24 (`resample.py` decides about the keys). If all lie on
    whole frames but for the rounding of time stamps, they are rounded to whole frames.

    Args:
        reconstruction: gives the times of its frames.
        fps: of the scene.
        start: frame of the scene that shows the first frame.
        use_subframes: key the motion at the clip's own frames, even between frames of the scene.
    """
    frames = start + (reconstruction.times - reconstruction.times[0]) * fps
    whole = np.rint(frames)
    is_near = np.abs(frames - whole).max() < _FRAME_TOLERANCE and (np.diff(whole) > 0).all()
    frames = whole if is_near else frames
    keys = resample.at_source_frames if use_subframes else resample.at_whole_frames
    return Timing(fps, start, frames, keys(frames, cuts(reconstruction)))


def cuts(reconstruction: "Reconstruction") -> list[int]:
    """Return the indices of the frames at which shots begin, but for the first one."""
    if reconstruction.shots is None:
        return []
    starts = np.searchsorted(reconstruction.frame_numbers, reconstruction.shots)
    return starts[1:].tolist()


def fps_of(scene: bpy.types.Scene) -> float:
    """Return the frames per second of a scene."""
    return scene.render.fps / scene.render.fps_base
