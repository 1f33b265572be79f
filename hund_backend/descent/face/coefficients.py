"""Coefficients: activations of the ARKit keys that explain displacements of landmarks."""

import numpy as np
from jaxtyping import Float

from .model import FaceModel

_NOISE = 0.002  # metres, of a landmark
_DEPTH_SHARE = 0.5  # weight of depth, which the network guesses
_POINTS_PER_FACT = 8.0  # neighbouring landmarks err alike: so many count as one
_RIDGE, _SPARSITY = 4.0, 2.0  # of the coefficients' squares and of themselves
_SWEEPS = 30


def geometric_coefficients(
    model: FaceModel,
    displacement: Float[np.ndarray, "frames 478 3"],
) -> Float[np.ndarray, "frames 52"]:
    """Return the activations 0…1 that explain displacements best, as few as can be.

    Args:
        model: of the landmarks.
        displacement: of the landmarks from the person's face at rest, head's axes, metres.
    """
    weights = np.array([1, 1, _DEPTH_SHARE]) / _NOISE
    design = (model.seen_keys * weights).reshape(len(model.keys), -1)
    target = (displacement * weights).reshape(len(displacement), -1)
    normal = design @ design.T / _POINTS_PER_FACT + _RIDGE * np.eye(len(design))
    return bounded_least_squares(normal, target @ design.T / _POINTS_PER_FACT - _SPARSITY)


def bounded_least_squares(
    normal: Float[np.ndarray, "keys keys"], target: Float[np.ndarray, "frames keys"]
) -> Float[np.ndarray, "frames keys"]:
    """Return the minima of ½ aᵀ N a − tᵀ a over 0 ≤ a ≤ 1, by coordinate descent.

    Args:
        normal: N, positive definite.
        target: t of each frame.
    """
    values, diagonal = np.zeros_like(target), np.diag(normal)
    for _ in range(_SWEEPS):
        for key in range(len(normal)):
            gradient = target[:, key] - values @ normal[key]
            values[:, key] = np.clip(values[:, key] + gradient / diagonal[key], 0, 1)
    return values
