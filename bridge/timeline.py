"""The timeline: where a clip's frames stand in a scene's time."""

import math
from typing import NamedTuple

import bpy
import numpy as np

from ..hund_backend.reconstruction import Reconstruction

_NEAR_FRAME = 0.1  # frames by which a time stamp may miss a frame and still mean it


class Timing(NamedTuple):
    """Where the frames of a reconstruction stand."""

    fps: float  # of the scene
    start: int  # frame of the scene that shows the first
    frames: np.ndarray  # (frames,): in the scene's time, whole or not

    @property
    def end(self) -> int:
        """First frame of the scene by which the last has come."""
        return math.ceil(self.frames[-1])

    def nearest(self, frame: float) -> int | None:
        """Which frame of the reconstruction the scene shows; None before it, after it, in a gap."""
        apart = np.abs(self.frames - frame)
        usual = np.median(np.diff(self.frames)) if len(self.frames) > 1 else 1.0
        return int(apart.argmin()) if apart.min() <= max(usual, 1.0) / 2 else None


def timing_of(reconstruction: Reconstruction, fps: float, start: int) -> Timing:
    """Time a reconstruction for a scene of a given rate.

    The motion keeps its speed whatever the scene's rate is: a clip of 60 frames per second has its
    keys 0.4 frames apart in a scene of 24. Where all come to lie on whole frames but for the
    rounding of time stamps, they are put there.
    """
    frames = start + (reconstruction.times - reconstruction.times[0]) * fps
    whole = np.rint(frames)
    is_near = np.abs(frames - whole).max() < _NEAR_FRAME and (np.diff(whole) > 0).all()
    return Timing(fps, start, whole if is_near else frames)


def fps_of(scene: bpy.types.Scene) -> float:
    """Frames per second of a scene."""
    return scene.render.fps / scene.render.fps_base


def match(scene: bpy.types.Scene, timing: Timing) -> None:
    """Play a scene at this rate (29.97 is 30 / 1.001) and range, and show the first frame."""
    scene.render.fps = max(1, round(timing.fps))
    scene.render.fps_base = scene.render.fps / timing.fps
    scene.frame_start, scene.frame_end = timing.start, timing.end
    scene.frame_set(timing.start)
