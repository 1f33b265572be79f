"""Cycles: the part of a motion whose end is most like its beginning, in pose and velocity."""

from typing import NamedTuple

import numpy as np

# Of the differences inside the livelier parts, below which somebody stands still.
_LIVELY = 0.5
_MOST = 1500  # frames that are compared with each other; of longer motion every second, third, …


class Cycle(NamedTuple):
    """Part of a motion that repeats."""

    first: int  # frame of the first pose
    last: int  # frame in which it comes again
    difference: float  # of the two poses, root mean square over the joints, world units


def features(joints: np.ndarray, middle: np.ndarray, side: np.ndarray, fps: float) -> np.ndarray:
    """Return poses with their velocities, independent of place and heading, (frames, features).

    Velocities count as the distances of a tenth of a second. The squared distance of two rows is
    the mean over the joints.

    Args:
        joints: in the world, (frames, joints, 3).
        middle: of the hips, (frames, 3).
        side: direction to the left, (frames, 3).
        fps: frames per second.
    """
    angles = np.arctan2(side[:, 1], side[:, 0])
    cosine, sine = np.cos(angles), np.sin(angles)
    still = np.zeros((len(angles), 3, 3))
    still[:, 0, 0] = still[:, 1, 1] = cosine
    still[:, 0, 1], still[:, 1, 0], still[:, 2, 2] = sine, -sine, 1
    centered = joints - (middle * [1, 1, 0])[:, None]
    poses = centered @ still.swapaxes(1, 2)
    velocities = np.gradient(joints, axis=0) @ still.swapaxes(1, 2) * fps * 0.1
    both = np.concatenate((poses, velocities), axis=1)
    return both.reshape(len(joints), -1) / np.sqrt(joints.shape[1])


def find(values: np.ndarray, shortest: int, longest: int) -> Cycle | None:
    """Return the best cycle, or None if the motion is too short.

    The pose has to leave where it began: differences are compared with those inside the cycle, so
    that standing still is no cycle of a walk.

    Args:
        values: see `features`.
        shortest: frames of a cycle.
        longest: frames of a cycle.
    """
    step = -(-len(values) // _MOST)
    rows = values[::step]
    shortest, longest = max(1, shortest // step), max(1, longest // step)
    if len(rows) <= shortest:
        return None
    squares = (rows**2).sum(1)
    distance = np.sqrt(np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0))
    best: tuple[float, int, int] | None = None
    sums = np.cumsum(distance, axis=1)
    for length in range(shortest, min(longest, len(rows) - 1) + 1):
        start = np.arange(len(rows) - length)
        ends = distance[start, start + length]
        inside = (sums[start, start + length] - sums[start, start]) / length
        moves = inside >= max(_LIVELY * np.percentile(inside, 90), 1e-9)
        scores = np.where(moves, ends / np.maximum(inside, 1e-9), np.inf)
        index = int(scores.argmin())
        if best is None or scores[index] < best[0] - 1e-9:
            best = (float(scores[index]), index, index + length)
    if best is None or not np.isfinite(best[0]):
        return None
    _, first, last = best
    difference = float(np.linalg.norm(values[first * step] - values[last * step]))
    return Cycle(first * step, last * step, difference)


def seam(
    samples: np.ndarray, blend: int, first: np.ndarray, slope_first: np.ndarray
) -> np.ndarray:
    """Return samples (frames, components) that end where and as they begin.

    The last frames are changed by a cubic that begins level at zero.

    Args:
        samples: of a cycle, its first and last frame included.
        blend: frames that are changed.
        first: the first sample, or another one of the same meaning, (components,).
        slope_first: change per frame with which the motion goes through it, (components,).
    """
    count = min(blend, len(samples) - 1)
    start = len(samples) - 1 - count
    slope_last = samples[-1] - samples[-2]
    t = (np.arange(count + 1) / count)[:, None]
    offset = (first - samples[-1]) * t**2 * (3 - 2 * t)
    offset = offset + (slope_first - slope_last) * count * (t**3 - t**2)
    result = samples.copy()
    result[start:] += offset
    result[-1] = first
    return result
