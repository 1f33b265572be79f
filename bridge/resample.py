"""Resampling: motion of a clip's frames at the keys of a scene with another frame rate.

Keys between frames are hard to edit, and a key that a renderer never visits is never seen: by
default there is one key in each whole frame. Rotations are interpolated along the shorter arc at
constant speed, everything else linearly; nothing is interpolated over a cut. No filter is applied when the scene's rate is lower: a
vibration faster than half of that rate would look slower than it was; people do not move so fast
at usual rates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import quaternions

CONSTANT, LINEAR = 0, 1  # interpolation of keyframes, which foreach_set takes as numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampler:
    """Keys of a motion in a scene's time, and how their values follow from the clip's frames."""

    frames: np.ndarray  # (keys,): in the scene's time
    source_frames: np.ndarray  # (frames,): the clip's frames in the scene's time
    before: np.ndarray  # (keys,): index of the clip's frame at a key or before it
    after: np.ndarray  # (keys,): index of the next one
    fraction: np.ndarray  # (keys,), 0…1: of the way from one to the other
    cuts: np.ndarray  # (shots − 1,): index of the first key at or after the start of a later shot

    def values(self, values: np.ndarray) -> np.ndarray:
        """Interpolate values (frames, …) linearly; returns (keys, …)."""
        fraction = self.fraction.reshape(-1, *(1 for _ in values.shape[1:]))
        before, after = values[self.before], values[self.after]
        return np.where(fraction == 0, before, before + fraction * (after - before))

    def rotations(self, rotations: np.ndarray) -> np.ndarray:
        """Interpolate quaternions (frames, …, 4) along the shorter arcs; returns (keys, …, 4)."""
        fraction = self.fraction.reshape(-1, *(1 for _ in rotations.shape[1:]))
        before, after = rotations[self.before], rotations[self.after]
        return np.where(fraction == 0, before, quaternions.slerp(before, after, fraction))

    @property
    def interpolations(self) -> np.ndarray:
        """Interpolation of each key, (keys,): the last one before a cut is held."""
        result = np.full(len(self.frames), LINEAR, np.int32)
        result[self.cuts - 1] = CONSTANT
        return result

    def interval(self, flags: np.ndarray) -> np.ndarray:
        """Return which keys, (keys,), lie between the first and the last set flag of (frames,).

        Both ends are rounded to the nearest key, so that a single frame is never lost. What is set
        at the clip's first or last frame stays set where the keys hold that frame.
        """
        indices = np.flatnonzero(flags)
        if not len(indices):
            return np.zeros(len(self.frames), bool)
        ends = self.source_frames[indices[[0, -1]]]
        first, last = np.abs(self.frames[:, None] - ends).argmin(axis=0)
        is_inside = np.zeros(len(self.frames), bool)
        is_inside[first : last + 1] = True
        is_inside[self.frames <= self.source_frames[0]] |= flags[0]
        is_inside[self.frames >= self.source_frames[-1]] |= flags[-1]
        return is_inside


def at_source_frames(frames: np.ndarray, cuts: Sequence[int] = ()) -> Resampler:
    """Put a key on each of the clip's frames, whole or not: nothing is interpolated.

    Args:
        frames: (frames,), in the scene's time.
        cuts: (shots − 1,): index of the first frame of each later shot.
    """
    indices = np.arange(len(frames))
    return Resampler(
        frames=frames,
        source_frames=frames,
        before=indices,
        after=indices,
        fraction=np.zeros(len(frames)),
        cuts=np.array(cuts, np.int64),
    )


def at_whole_frames(frames: np.ndarray, cuts: Sequence[int] = ()) -> Resampler:
    """Put keys on whole frames of the scene only.

    If the clip's frames are whole, the keys are on them. Else there is a key on every whole frame
    from the first to the last one, which is rounded up and holds the last pose. A key between two
    shots has the pose of the frame that is nearer.

    Args:
        frames: (frames,), in the scene's time.
        cuts: (shots − 1,): index of the first frame of each later shot.
    """
    if np.array_equal(frames, np.rint(frames)):
        return at_source_frames(frames, cuts)
    keys = np.arange(np.floor(frames[0]), np.ceil(frames[-1]) + 1)
    before = np.searchsorted(frames, keys, side="right") - 1
    before = np.clip(before, 0, len(frames) - 1)
    after = np.minimum(before + 1, len(frames) - 1)
    steps = np.maximum(frames[after] - frames[before], np.finfo(float).tiny)
    fraction = np.clip((keys - frames[before]) / steps, 0, 1)
    fraction[before == after] = 0
    is_at_cut = np.isin(before + 1, cuts)
    before[is_at_cut & (fraction >= 0.5)] += 1
    fraction[is_at_cut] = 0
    return Resampler(
        frames=keys,
        source_frames=frames,
        before=before,
        after=np.where(is_at_cut, before, after),
        fraction=fraction,
        cuts=np.searchsorted(before, cuts),
    )
