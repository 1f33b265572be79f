"""Filters over time without lag."""

import numpy as np

from . import turning_points

_REACH = 4.0  # deviations after which a Gaussian ends
_LIGHT = 1 / 3  # of the deviation, with which the heights of extremes are filtered
_EXTREME = 0.05  # of a component's range, from which a turning point is an extreme


def gaussian(samples: np.ndarray, deviation: float) -> np.ndarray:
    """Smooth samples (frames, components) by a Gaussian; the first and the last one stay.

    Beyond the ends the samples are continued by their point reflection, so that steady motion is
    not changed there.

    Args:
        samples: one a frame.
        deviation: of the Gaussian, frames.
    """
    reach = min(int(np.ceil(_REACH * deviation)), len(samples) - 1)
    if reach < 1:
        return samples.copy()
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    weights /= weights.sum()
    padded = np.pad(samples, ((reach, reach), (0, 0)), mode="reflect", reflect_type="odd")
    columns = [np.convolve(column, weights, "valid") for column in padded.T]
    return np.stack(columns, axis=1)


def smooth(samples: np.ndarray, deviation: float, *, keep_extremes: bool) -> np.ndarray:
    """Smooth samples (frames, components).

    Args:
        samples: one a frame.
        deviation: of the Gaussian, frames.
        keep_extremes: keep the heights of the extremes that remain, each in its frame.
    """
    smoothed = gaussian(samples, deviation)
    if not keep_extremes:
        return smoothed
    lost = gaussian(samples, _LIGHT * deviation) - smoothed
    for column, missing in zip(smoothed.T, lost.T, strict=True):
        threshold = max(_EXTREME * np.ptp(column), 1e-9)
        points = np.array([0, *turning_points.find(column, threshold), len(column) - 1])
        column += eased(points, missing[points], len(column))
    return smoothed


def eased(points: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Interpolate values at points so that they are level there, (count,)."""
    points, first = np.unique(points, return_index=True)
    values = values[first]
    places = np.arange(count)
    if len(points) == 1:
        return np.full(count, values[0])
    segment = np.clip(np.searchsorted(points, places, side="right") - 1, 0, len(points) - 2)
    t = np.clip((places - points[segment]) / np.diff(points)[segment], 0, 1)
    share = t * t * (3 - 2 * t)
    return values[segment] + share * (values[segment + 1] - values[segment])
