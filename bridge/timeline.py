"""Timeline: maps a clip's frames to a scene's frames."""

import math
from typing import NamedTuple

import bpy
import numpy as np

from ..hund_backend.reconstruction import Reconstruction

_FRAME_TOLERANCE = 0.1  # frames: largest deviation of a time stamp from a whole frame


class Timing(NamedTuple):
    """Frames of a reconstruction in a scene's time."""

    fps: float  # of the scene
    start: int  # frame of the scene that shows the first frame
    frames: np.ndarray  # (frames,): in the scene's time, not always whole

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


def timing_of(reconstruction: Reconstruction, fps: float, start: int) -> Timing:
    """Time a reconstruction for a scene with a given frame rate.

    The motion's speed does not depend on the scene's rate: a clip of 60 frames per second has its
    keys 0.4 frames apart in a scene of 24. If all keys lie on whole frames but for the rounding
    of time stamps, they are rounded to whole frames.
    """
    frames = start + (reconstruction.times - reconstruction.times[0]) * fps
    whole = np.rint(frames)
    is_near = np.abs(frames - whole).max() < _FRAME_TOLERANCE and (np.diff(whole) > 0).all()
    return Timing(fps, start, whole if is_near else frames)


def fps_of(scene: bpy.types.Scene) -> float:
    """Return the frames per second of a scene."""
    return scene.render.fps / scene.render.fps_base


def match(scene: bpy.types.Scene, timing: Timing) -> None:
    """Set a scene's frame rate (29.97 is 30 / 1.001) and range; go to the first frame."""
    scene.render.fps = max(1, round(timing.fps))
    scene.render.fps_base = scene.render.fps / timing.fps
    scene.frame_start, scene.frame_end = timing.start, timing.end
    scene.frame_set(timing.start)
