"""Alignment of landmarks with a head: the similarity transform between them, robustly."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_ITERATIONS = 3
_OUTLIER = 0.004  # metres of a residual that halves a landmark's weight twice


class AlignedHead(NamedTuple):
    """A head in each frame."""

    turn: Float[np.ndarray, "frames 3 3"]  # rotations from the head's axes to those of the picture
    landmarks: Float[np.ndarray, "frames points 3"]  # in the head's axes, metres


def align(
    landmarks: Float[np.ndarray, "frames points 3"],
    shape: Float[np.ndarray, "points 3"],
    weights: Float[np.ndarray, " points"],
) -> AlignedHead:
    """Return the turn of a head, and its landmarks in the head's own axes and size.

    The similarity transforms minimise the weighted squares (Umeyama, "Least-squares estimation of
    transformation parameters between two point patterns", 1991), reweighted by the residuals.

    Args:
        landmarks: x, y in px, z away from the camera in the same unit.
        shape: the same points of the head, metres.
        weights: of the points.
    """
    current = np.broadcast_to(weights, landmarks.shape[:2])
    for _ in range(_ITERATIONS):
        turn, local = _fit(landmarks, shape, current)
        residual = np.linalg.norm(local - shape, axis=-1)
        current = weights / (1 + (residual / _OUTLIER) ** 2)
    return AlignedHead(turn, local)


def _fit(landmarks: np.ndarray, shape: np.ndarray, weights: np.ndarray) -> tuple:
    """Return rotations and the landmarks in the shape's axes, for the given weights."""
    share = (weights / weights.sum(axis=1, keepdims=True))[..., None]
    seen_center = (share * landmarks).sum(axis=1, keepdims=True)
    own_center = (share * shape).sum(axis=1, keepdims=True)
    seen, own = landmarks - seen_center, shape - own_center
    left, values, right = np.linalg.svd(np.einsum("fpi,fpj->fij", share * seen, own))
    signs = np.ones_like(values)
    signs[:, 2] = np.sign(np.linalg.det(left @ right))
    turn = left @ (signs[..., None] * right)
    scale = (values * signs).sum(axis=1) / (share * own**2).sum(axis=(1, 2))
    local = np.einsum("fji,fpj->fpi", turn, seen) / scale[:, None, None] + own_center
    return turn, local
