"""Contacts of the feet: confidences of heel and toe, and runs of frames in contact."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

# By side L and R: confidences that heel and toe touch the floor, (frames, 2), 0…1.
Contacts: TypeAlias = Mapping[str, np.ndarray]

_ON, _OFF = 0.6, 0.35  # a run begins above the first and ends below the second
_SHORTEST = 0.1  # seconds of a run
_PERSON_LEG = 0.85  # metres, to which the constants below belong
_REST_SPEED, _SPEED_SOFTNESS = 0.55, 0.1  # m/s: a reconstruction's feet slide a little
_REST_HEIGHT, _HEIGHT_SOFTNESS = 0.06, 0.015  # metres
_SMOOTHING = 0.04  # seconds, standard deviation


def runs(
    confidence: np.ndarray, fps: float, *, shortest: float = _SHORTEST
) -> list[tuple[int, int]]:
    """Return the first and last index of each run of contact.

    Args:
        confidence: of a foot or a hand, (frames,).
        fps: frames per second.
        shortest: seconds of a run; it has two frames at least.
    """
    found: list[tuple[int, int]] = []
    start: int | None = None
    for index, value in enumerate([*confidence.tolist(), 0.0]):
        if start is None and value > _ON:
            start = index
        elif start is not None and value < _OFF:
            if index - start >= max(2, shortest * fps):
                found.append((start, index - 1))
            start = None
    return found


def from_motion(points: np.ndarray, floor: float, leg: float, fps: float) -> np.ndarray:
    """Return the confidences that points touch the floor, (frames, points), 0…1.

    A point touches it while it is slow and low.

    Args:
        points: of a sole in the world, (frames, points, 3).
        floor: its height.
        leg: length of a leg, world units.
        fps: frames per second.
    """
    size = leg / _PERSON_LEG
    low = _sigmoid((_REST_HEIGHT - (points[..., 2] - floor) / size) / _HEIGHT_SOFTNESS)
    if len(points) < 3:
        return low
    velocity = np.gradient(points, axis=0) * fps / size
    speed = _smoothed(np.linalg.norm(velocity, axis=-1), _SMOOTHING * fps)
    return _sigmoid((_REST_SPEED - speed) / _SPEED_SOFTNESS) * low


def _smoothed(values: np.ndarray, deviation: float) -> np.ndarray:
    """Filter values (frames, columns) over time by a Gaussian."""
    reach = max(1, int(np.ceil(3 * deviation)))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(deviation, 1e-3)) ** 2)
    weights /= weights.sum()
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, weights, "valid") for column in padded.T], -1)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * values))
