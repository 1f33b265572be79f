"""Arrays of quaternions, w first."""

import numpy as np
from mathutils import Matrix


def from_matrices(matrices: np.ndarray) -> np.ndarray:
    """Convert rotation matrices (frames, 3, 3) to quaternions (frames, 4)."""
    return np.array([Matrix(matrix).to_quaternion() for matrix in matrices.tolist()])


def multiply(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Multiply quaternions (…, 4); the product is the rotation `first @ second`."""
    w, v = first[..., :1], first[..., 1:]
    other_w, other_v = second[..., :1], second[..., 1:]
    real = w * other_w - (v * other_v).sum(-1, keepdims=True)
    return np.concatenate((real, w * other_v + other_w * v + np.cross(v, other_v)), axis=-1)


def change_basis(quaternions: np.ndarray, a_from_b: np.ndarray) -> np.ndarray:
    """Express rotations (…, 4) of frame b in frame a: A R Aᵀ, which rotates only the axis."""
    axes = (a_from_b @ quaternions[..., 1:, None])[..., 0]
    return np.concatenate((quaternions[..., :1], axes), axis=-1)


def make_continuous(quaternions: np.ndarray) -> np.ndarray:
    """Choose the signs of quaternions (frames, …, 4) so that neighbors in time are close.

    q and −q are one rotation, but a curve between the two passes through none.
    """
    dots = (quaternions[1:] * quaternions[:-1]).sum(-1, keepdims=True)
    first = np.where(quaternions[:1, ..., :1] < 0, -1, 1)
    signs = np.concatenate((first, np.where(dots < 0, -1, 1)))
    return quaternions * np.cumprod(signs, axis=0)
