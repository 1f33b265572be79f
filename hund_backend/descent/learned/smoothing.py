"""Steadying: curves over time that are smooth unless what is observed says otherwise."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solveh_banded

ROUNDS = 4  # of weighing jerks anew
LEAST = 1e-6  # weight of frames that were not observed


def steadied(
    values: Float[np.ndarray, "frames components"],
    observed: Bool[np.ndarray, " frames"],
    noise: float,
    acceleration: float,
    fps: float,
    cutoff: float = 2.0,
) -> Float[np.ndarray, "frames components"]:
    """The curve that lowers Σ ‖x_t − y_t‖² / σ² + Σ ρ(‖ẍ_t‖² / a²) with Charbonnier's ρ.

    Neither lags nor irons out fast motion: a jerk costs by its length, not by its square (after
    Whittaker, "On a New Method of Graduation", 1922).

    Args:
        values: y, of which those of frames that were not observed hardly count.
        observed: which frames were.
        noise: σ, in the unit of the values.
        acceleration: a, in their unit per second squared.
        fps: frames a second.
        cutoff: in units of a, where the square turns into a line.
    """
    frames = len(values)
    if frames < 3:
        return values
    trust = np.where(observed, 1.0, LEAST) / noise**2
    jerkiness = (fps**2 / acceleration) ** 2
    curve, weights = values, np.ones(frames - 2)
    for _ in range(ROUNDS):
        curve = solveh_banded(_bands(trust, jerkiness * weights), trust[:, None] * values)
        bent = curve[:-2] - 2 * curve[1:-1] + curve[2:]
        squares = jerkiness * (bent**2).sum(axis=1)
        weights = 1 / np.sqrt(1 + squares / cutoff**2)
    return curve


def _bands(
    trust: Float[np.ndarray, " frames"], weights: Float[np.ndarray, " inner"]
) -> Float[np.ndarray, "3 frames"]:
    """Upper bands of diag(trust) + Dᵀ diag(weights) D with the second difference D."""
    bands = np.zeros((3, len(trust)))
    bands[2] = trust
    row = np.array([1.0, -2.0, 1.0])
    inner = len(weights)
    for first in range(3):
        for second in range(first, 3):
            band = bands[2 - (second - first)]
            band[second : second + inner] += row[first] * row[second] * weights
    return bands
