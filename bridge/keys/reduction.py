"""Reduction: the keys that are needed for joints to stay where they are, within a tolerance.

Few keys at first; where a joint is off by more, the track that moves it most gets another key,
until none is. A key that is not enough gets the motion's own value, so a frame is exact at the
latest when all tracks have such keys. Then keys that turn out not to be needed are removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import bezier, bodies
from .bezier import Spline
from .bodies import Body
from .bone_curves import Track

# What the removal of a key may move a joint by, as a share of what it may still be off by: first
# and last. More than one: most of the removals that are too much are taken back.
_LARGEST, _SMALLEST = 8.0, 0.2


@dataclass
class Reduction:
    """Tracks with few keys.

    The keys are added in place by `refine`.
    """

    tracks: Sequence[Track]
    keys: list[np.ndarray]  # indices of frames, of each track
    corners: list[np.ndarray]  # indices of frames at which handles are free, of each track
    pinned: list[np.ndarray]  # indices of keys' frames at which the motion's own value is kept

    def __post_init__(self) -> None:
        """Fit the first keys."""
        self.targets = [track.samples for track in self.tracks]
        self.splines = [self._fit(index) for index in range(len(self.tracks))]
        self.samples = [self._evaluate(index) for index in range(len(self.tracks))]

    def add(self, track: int, frames: Sequence[int]) -> None:
        """Give a track more keys; those that are there get the motion's own values."""
        frames = np.asarray(frames, int)
        again = frames[np.isin(frames, self.keys[track])]
        self.pinned[track] = np.union1d(self.pinned[track], again)
        self.keys[track] = np.union1d(self.keys[track], frames)
        self.splines[track] = self._fit(track)
        self.samples[track] = self._evaluate(track)

    def remove(self, track: int, frames: Sequence[int]) -> None:
        """Take keys from a track."""
        self.keys[track] = np.setdiff1d(self.keys[track], frames)
        self.splines[track] = self._fit(track)
        self.samples[track] = self._evaluate(track)

    def count(self) -> int:
        """Return the number of keys of all tracks."""
        return sum(map(len, self.keys))

    def state(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the keys and the pinned ones, for `reset`."""
        return list(self.keys), list(self.pinned)

    def reset(self, state: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
        """Return to the keys that were there before."""
        self.keys, self.pinned = list(state[0]), list(state[1])
        for track in range(len(self.tracks)):
            self.set_target(track, self.targets[track])

    def set_target(self, track: int, target: np.ndarray) -> None:
        """Fit a track to other samples than its own."""
        self.targets[track] = target
        self.splines[track] = self._fit(track)
        self.samples[track] = self._evaluate(track)

    def is_corner(self, track: int) -> np.ndarray:
        """Return which keys of a track are corners, (keys,)."""
        return np.isin(self.keys[track], self.corners[track])

    def _fit(self, track: int) -> Spline:
        keys = self.keys[track]
        is_pinned = np.isin(keys, self.pinned[track])
        return bezier.fit(self.targets[track], keys, self.is_corner(track), is_pinned)

    def _evaluate(self, track: int) -> np.ndarray:
        return bezier.evaluate(self.splines[track], len(self.tracks[track].samples))


def thin(
    reduction: Reduction, body: Body, tolerance: np.ndarray, distance: np.ndarray
) -> np.ndarray:
    """Remove keys that are not needed, and return how far joints are off then.

    Keys whose neighbors give nearly the same curve are removed, but for pinned ones, and what is
    off then gets keys again; as long as they become fewer.

    Args:
        reduction: loses keys.
        body: gives the joints.
        tolerance: (frames, joints), world units.
        distance: of the joints as it is, (frames, joints).
    """
    share = _LARGEST
    while share > _SMALLEST:
        before = reduction.state()
        slack = np.maximum(tolerance - distance, 0)
        removed = {
            index
            for index in range(len(reduction.tracks))
            if _remove(reduction, body, index, share * slack)
        }
        fewer = refine(reduction, body, tolerance, removed)
        if reduction.count() < sum(map(len, before[0])):
            distance = fewer
        else:
            share /= 4
            reduction.reset(before)
            distance = refine(reduction, body, tolerance)
    return distance


def _remove(reduction: Reduction, body: Body, track: int, slack: np.ndarray) -> bool:
    """Remove those keys of a track that seem the least needed; no two neighbors."""
    keys, spline = reduction.keys[track], reduction.splines[track]
    if len(keys) < 3:
        return False
    left, middle, right = keys[:-2], keys[1:-1], keys[2:]
    width = (right - left)[:, None]
    t = (middle - left)[:, None] / width
    without = (
        (1 + 2 * t) * (1 - t) ** 2 * spline.values[:-2]
        + t * (1 - t) ** 2 * width * spline.slopes_out[:-2]
        + t**2 * (3 - 2 * t) * spline.values[2:]
        - t**2 * (1 - t) * width * spline.slopes_in[2:]
    )
    errors = bodies.errors(reduction.tracks[track].prop, spline.values[1:-1], without)
    errors = errors * body.reach(track)
    free = body.least(track, slack)
    spare = np.array([free[a : b + 1].min() for a, b in zip(left, right, strict=True)])
    scores = errors / np.maximum(spare, 1e-12)  # a key may take all of the slack
    scores[np.isin(middle, reduction.pinned[track])] = np.inf
    gone: list[int] = []
    blocked: set[int] = set()
    for place in np.argsort(scores).tolist():
        if scores[place] > 1:
            break
        if place not in blocked:
            gone.append(int(middle[place]))
            blocked |= {place - 1, place + 1}
    if gone:
        reduction.remove(track, gone)
    return bool(gone)


def refine(
    reduction: Reduction, body: Body, tolerance: np.ndarray, changed: set[int] | None = None
) -> np.ndarray:
    """Add keys until all joints are within a tolerance, and return how far they are off.

    Args:
        reduction: gets keys.
        body: gives the joints.
        tolerance: (frames, joints), world units.
        changed: tracks whose keys are others than at the last call; None: all.

    Returns:
        Distances of the joints, (frames, joints).
    """
    changed = set(range(len(reduction.tracks))) if changed is None else changed
    while True:
        joints = body.settle(reduction, changed)
        distance = np.linalg.norm(joints - body.reference, axis=-1)
        wanted = _wanted(reduction, body, distance / tolerance)
        if not wanted:
            return distance
        for track, frames in wanted.items():
            reduction.add(track, frames)
        changed = set(wanted)


def _wanted(reduction: Reduction, body: Body, excess: np.ndarray) -> dict[int, list[int]]:
    """Return the frames at which tracks need keys.

    Args:
        reduction: as it is.
        body: with the leverages.
        excess: distances of the joints as shares of the tolerance, (frames, joints).
    """
    frames, joints = np.nonzero(_is_peak(excess))
    if not len(frames):
        return {}
    errors = np.array(
        [
            bodies.errors(track.prop, target, samples)
            for track, target, samples in zip(
                reduction.tracks, reduction.targets, reduction.samples, strict=True
            )
        ]
    )
    shares = np.array(
        [
            errors[track, frames] * body.leverage(track, frames, joints)
            for track in range(len(errors))
        ]
    )
    is_blamed = (shares > 0) & (shares == shares.max(0))
    wanted: dict[int, list[int]] = {}
    for track in np.flatnonzero(is_blamed.any(1)).tolist():
        keys = reduction.keys[track]
        off = np.unique(frames[is_blamed[track]])
        is_key = np.isin(off, keys)
        wanted[track] = off[is_key & ~np.isin(off, reduction.pinned[track])].tolist()
        for place in np.unique(np.searchsorted(keys, off[~is_key])).tolist():
            start = keys[place - 1] + 1 if place else 0
            stop = keys[place] if place < len(keys) else errors.shape[1]
            wanted[track].append(start + int(errors[track, start:stop].argmax()))
    return {track: added for track, added in wanted.items() if added}


def _is_peak(excess: np.ndarray) -> np.ndarray:
    """Return which distances above the tolerance are the largest among their neighbors in time."""
    padded = np.pad(excess, ((1, 1), (0, 0)))
    return (excess > 1) & (excess >= padded[:-2]) & (excess >= padded[2:])
