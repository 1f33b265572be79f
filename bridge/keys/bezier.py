"""Bézier curves fitted to a motion's samples by least squares.

A handle is a third of the way to the next key, so that a curve is a cubic polynomial of time, and
the values and slopes at the keys follow from a linear system. Both handles of a key share one
slope, but for those of corners.
"""

from typing import NamedTuple

import numpy as np

# Weight of the samples' own slopes, which alone decide between neighboring keys.
_SLOPE_WEIGHT = 1e-3
_PINNED = 1e6  # weight of a value that is kept
_BAND = 3  # unknowns that are further apart are not coupled


class Spline(NamedTuple):
    """Bézier curves of several components with common keys, one sample apart from each other."""

    keys: np.ndarray  # (keys,): indices of samples
    values: np.ndarray  # (keys, components)
    slopes_in: np.ndarray  # (keys, components): of the left handles, per sample
    slopes_out: np.ndarray  # (keys, components): of the right handles


def fit(samples: np.ndarray, keys: np.ndarray, corners: np.ndarray, pinned: np.ndarray) -> Spline:
    """Fit values and handles of keys to samples.

    Args:
        samples: (samples, components).
        keys: indices of the samples that are keys, in order, (keys,). Samples before the first
            and after the last are not fitted.
        corners: (keys,): whether both sides of a key have slopes of their own.
        pinned: (keys,): whether a key has the value of its sample.
    """
    values = samples[keys]
    if len(keys) == 1:
        flat = np.zeros_like(values)
        return Spline(keys, values, flat, flat)
    corners = corners.copy()
    corners[[0, -1]] = False  # they have one side only
    sizes = 2 + corners
    ends = np.cumsum(sizes)
    out, into = ends - 1, ends - sizes + ~corners  # positions of the slopes among the unknowns
    level = ends - 2  # positions of the values
    count = int(ends[-1])
    columns = np.stack((level[:-1], out[:-1], into[1:], level[1:]))  # of each segment's unknowns
    places, basis = _basis(keys)
    starts = keys[:-1] - keys[0]
    diagonals = np.zeros((_BAND + 1, count))  # [d, i]: couples the unknowns i and i + d
    wanted = np.zeros((count, samples.shape[1]))
    for first in range(4):
        explained = basis[first][:, None] * samples[places]
        np.add.at(wanted, columns[first], np.add.reduceat(explained, starts))
        for second in range(4):
            low, high = columns[first], columns[second]
            sums = np.add.reduceat(basis[first] * basis[second], starts)
            is_lower = low <= high
            np.add.at(diagonals, ((high - low)[is_lower], low[is_lower]), sums[is_lower])
    left, right = _own_slopes(samples, keys, corners)
    for position, slopes in ((into, left), (out, right)):
        share = np.where(corners, 1.0, 0.5) * _SLOPE_WEIGHT
        np.add.at(diagonals[0], position, share)
        np.add.at(wanted, position, share[:, None] * slopes)
    diagonals[0, level[pinned]] += _PINNED
    wanted[level[pinned]] += _PINNED * values[pinned]
    solution = _solve_banded(diagonals, wanted)
    values = np.where(pinned[:, None], values, solution[level])
    return Spline(keys, values, solution[into], solution[out])


def evaluate(spline: Spline, count: int) -> np.ndarray:
    """Return the values at `count` samples, (count, components); constant beyond the keys."""
    keys = spline.keys
    if len(keys) == 1:
        return np.repeat(spline.values, count, axis=0)
    places = np.clip(np.arange(count), keys[0], keys[-1])
    segment = np.clip(np.searchsorted(keys, places, side="right") - 1, 0, len(keys) - 2)
    width = (keys[1:] - keys[:-1])[segment][:, None]
    t = (places - keys[segment])[:, None] / width
    start, end = spline.values[segment], spline.values[segment + 1]
    out, into = spline.slopes_out[segment] * width, spline.slopes_in[segment + 1] * width
    rest = 1 - t
    return (
        (1 + 2 * t) * rest**2 * start
        + t * rest**2 * out
        + t**2 * (3 - 2 * t) * end
        - t**2 * rest * into
    )


def handles(spline: Spline) -> tuple[np.ndarray, np.ndarray]:
    """Return the left and the right handles, (keys, components, 2): sample and value."""
    keys = spline.keys.astype(np.float64)
    widths = np.diff(keys) / 3 if len(keys) > 1 else np.ones(1)
    before = np.concatenate((widths[:1], widths))[: len(keys)]
    after = np.concatenate((widths, widths[-1:]))[: len(keys)]
    shape = spline.values.shape
    left, right = np.empty((*shape, 2)), np.empty((*shape, 2))
    left[..., 0] = (keys - before)[:, None]
    left[..., 1] = spline.values - before[:, None] * spline.slopes_in
    right[..., 0] = (keys + after)[:, None]
    right[..., 1] = spline.values + after[:, None] * spline.slopes_out
    return left, right


def _own_slopes(
    samples: np.ndarray, keys: np.ndarray, corners: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples' slopes before and after the keys, the same but for corners."""
    first, last = keys[0], keys[-1]
    before = samples[keys] - samples[np.maximum(keys - 1, first)]
    after = samples[np.minimum(keys + 1, last)] - samples[keys]
    both = (before + after) / 2
    both[0], both[-1] = after[0], before[-1]
    corners = corners[:, None]
    return np.where(corners, before, both), np.where(corners, after, both)


def _basis(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples between keys and the weights of the four unknowns there.

    Returns:
        Indices (samples,), and the weights (4, samples) of a segment's first value and slope and
        of its last slope and value.
    """
    places = np.arange(keys[0], keys[-1] + 1)
    segment = np.minimum(np.searchsorted(keys, places, side="right") - 1, len(keys) - 2)
    width = np.diff(keys)[segment]
    t = (places - keys[segment]) / width
    rest = 1 - t
    weights = (
        (1 + 2 * t) * rest**2,
        t * rest**2 * width,
        -(t**2) * rest * width,
        t**2 * (3 - 2 * t),
    )
    return places, np.stack(weights)


def _solve_banded(diagonals: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Solve a symmetric, positive definite, banded system with several right sides.

    Args:
        diagonals: (band + 1, size): the main diagonal and those beside it.
        wanted: right sides, (size, sides).
    """
    size = len(wanted)
    rows = diagonals.T.tolist()  # [i][d]: couples i and i + d; becomes the factor Lᵀ
    solution = list(wanted)
    for i in range(size):
        row = rows[i]
        pivot = row[0]
        for d in range(1, min(_BAND, size - 1 - i) + 1):
            if row[d]:
                factor = row[d] / pivot
                later = rows[i + d]
                for e in range(d, _BAND + 1):
                    later[e - d] -= factor * row[e]
                solution[i + d] = solution[i + d] - factor * solution[i]
    for i in range(size - 1, -1, -1):
        row = rows[i]
        value = solution[i]
        for d in range(1, min(_BAND, size - 1 - i) + 1):
            if row[d]:
                value = value - row[d] * solution[i + d]
        solution[i] = value / row[0]
    return np.array(solution)
