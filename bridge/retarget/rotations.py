"""Arrays of rotation matrices (…, 3, 3) and unit vectors (…, 3)."""

import numpy as np

from .. import quaternions

_TINY = 1e-9


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors (…, 3) to length one; a vector without length stays near zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), _TINY)


def across(vectors: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Return the part of vectors (…, 3) perpendicular to unit axes (…, 3)."""
    return vectors - axes * (vectors * axes).sum(-1, keepdims=True)


def rotated(rotations: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Rotate vectors (…, 3) by matrices (…, 3, 3)."""
    return (rotations @ vectors[..., None])[..., 0]


def shortest_arc(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the smallest rotations that turn the directions `first` (…, 3) into `second`.

    Of opposite directions, any of the half turns between the two.
    """
    first, second = np.broadcast_arrays(unit(first), unit(second))
    real = 1 + (first * second).sum(-1, keepdims=True)
    axis = np.cross(first, second)
    is_opposite = real < _TINY
    if is_opposite.any():
        helper = np.eye(3)[np.abs(first).argmin(-1)]
        axis = np.where(is_opposite, unit(np.cross(first, helper)), axis)
    quaternion = np.concatenate((np.where(is_opposite, 0, real), axis), axis=-1)
    norm = np.linalg.norm(quaternion, axis=-1, keepdims=True)
    return quaternions.to_matrices(quaternion / norm)


def frame(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return axes as columns, (…, 3, 3): y as given, z as near to `z` as it can be."""
    y = unit(y)
    x = unit(np.cross(y, z))
    return np.stack([x, y, np.cross(x, y)], -1)


def orthonormal(matrices: np.ndarray) -> np.ndarray:
    """Return the rotations of matrices (…, 3, 3) with scale and shear; y keeps its direction."""
    return frame(matrices[..., :, 1], matrices[..., :, 2])


def blend(first: np.ndarray, second: np.ndarray, fraction: float) -> np.ndarray:
    """Interpolate rotations (…, 3, 3) along the shorter arc."""
    if fraction <= 0:
        return first
    if fraction >= 1:
        return second
    ends = (quaternions.from_matrices(rotations) for rotations in (first, second))
    return quaternions.to_matrices(quaternions.slerp(*ends, np.array([fraction])))


def about(axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Return rotations about unit axes (…, 3) by angles (…)."""
    half = np.asarray(angles)[..., None] / 2
    return quaternions.to_matrices(np.concatenate((np.cos(half), np.sin(half) * axes), axis=-1))
