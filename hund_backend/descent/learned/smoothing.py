"""Robust smoothing of curves over time."""

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float
from scipy.linalg import solveh_banded
from torch import Tensor

_ITERATIONS = 4  # of reweighting
_UNOBSERVED_WEIGHT = 1e-6


def smooth_curve(
    values: Float[np.ndarray, "frames components"],
    observed: Bool[np.ndarray, " frames"] | Float[np.ndarray, " frames"],
    noise: float,
    acceleration: float,
    fps: float,
    cutoff: float = 2.0,
) -> Float[np.ndarray, "frames components"]:
    """Curve x that minimizes Σ ‖x_t − y_t‖² / σ² + Σ ρ(‖ẍ_t‖² / a²) with Charbonnier's ρ.

    Without lag, and without smoothing fast motion away: a large acceleration costs by its length,
    not by its square (after Whittaker, "On a New Method of Graduation", 1922).

    Args:
        values: y; those of unobserved frames hardly count.
        observed: frames with observations, or the weight of each frame's, 0…1.
        noise: σ, in the unit of the values.
        acceleration: a, in the values' unit per second squared.
        fps: frames per second.
        cutoff: in units of a, where the parabola turns into a line.
    """
    frames = len(values)
    if frames < 3:
        return values
    precision = np.maximum(observed, _UNOBSERVED_WEIGHT) / noise**2
    stiffness = (fps**2 / acceleration) ** 2
    curve, weights = values, np.ones(frames - 2)
    for _ in range(_ITERATIONS):
        bands = _bands(precision, stiffness * weights)
        curve = solveh_banded(bands, precision[:, None] * values)
        second_difference = curve[:-2] - 2 * curve[1:-1] + curve[2:]
        squares = stiffness * (second_difference**2).sum(axis=1)
        weights = 1 / np.sqrt(1 + squares / cutoff**2)
    return curve


def smooth_rotations(
    rotations: Float[Tensor, "frames 3 3"],
    observed: Bool[np.ndarray, " frames"] | Float[np.ndarray, " frames"],
    noise: float,
    acceleration: float,
    fps: float,
) -> Float[Tensor, "frames 3 3"]:
    """Rotations nearest to the smoothed entries of the matrices.

    Args:
        rotations: of one joint.
        observed: frames with observations, or the weight of each frame's, 0…1.
        noise: radians.
        acceleration: rad/s².
        fps: frames per second.
    """
    entries = rotations.flatten(1).double().numpy()
    smooth = smooth_curve(entries, observed, noise, acceleration, fps)
    matrices = torch.from_numpy(smooth).unflatten(-1, (3, 3))
    return roma.special_procrustes(matrices).to(rotations)


def _bands(
    precision: Float[np.ndarray, " frames"], weights: Float[np.ndarray, " inner"]
) -> Float[np.ndarray, "3 frames"]:
    """Upper bands of diag(precision) + Dᵀ diag(weights) D with the second difference D."""
    bands = np.zeros((3, len(precision)))
    bands[2] = precision
    row = np.array([1.0, -2.0, 1.0])
    inner = len(weights)
    for first in range(3):
        for second in range(first, 3):
            band = bands[2 - (second - first)]
            band[second : second + inner] += row[first] * row[second] * weights
    return bands
