"""Turning points: the extremes of a curve that stand out by more than a threshold."""

import numpy as np


def find(values: np.ndarray, threshold: float) -> list[int]:
    """Return the indices of extremes between which the values change by the threshold or more.

    Args:
        values: (samples,).
        threshold: smallest difference between an extreme and the next one.
    """
    found: list[int] = []
    lowest = highest = 0
    direction = 0
    series = values.tolist()
    for index, value in enumerate(series):
        if value > series[highest]:
            highest = index
        if value < series[lowest]:
            lowest = index
        if direction >= 0 and series[highest] - value >= threshold:
            if highest > 0:
                found.append(highest)
            direction, lowest, highest = -1, index, index
        elif direction <= 0 and value - series[lowest] >= threshold:
            if lowest > 0:
                found.append(lowest)
            direction, lowest, highest = 1, index, index
    return found


def of_components(values: np.ndarray, threshold: float, apart: int = 2) -> np.ndarray:
    """Return the turning points of several components, (points,), at least `apart` samples apart.

    Args:
        values: (samples, components).
        threshold: see `find`.
        apart: of points that are nearer, such as those of two components, the first stays.
    """
    kept: list[int] = []
    for index in sorted({point for column in values.T for point in find(column, threshold)}):
        if not kept or index - kept[-1] >= apart:
            kept.append(index)
    return np.array(kept, int)
