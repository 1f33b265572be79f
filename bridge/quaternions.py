"""Arrays of quaternions, w first."""

import numpy as np


def from_matrices(matrices: np.ndarray) -> np.ndarray:
    """Convert rotation matrices (…, 3, 3) to quaternions (…, 4), whose largest part is positive."""
    m = np.asarray(matrices, np.float64)
    x, y, z = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    # 4 q qᵀ, of which each row is the quaternion times one of its parts: the largest is exact.
    rows = np.empty((*m.shape[:-2], 4, 4))
    for part, value in enumerate((x + y + z, x - y - z, y - x - z, z - x - y)):
        rows[..., part, part] = 1 + value
    for (i, j), value in {
        (0, 1): m[..., 2, 1] - m[..., 1, 2],
        (0, 2): m[..., 0, 2] - m[..., 2, 0],
        (0, 3): m[..., 1, 0] - m[..., 0, 1],
        (1, 2): m[..., 0, 1] + m[..., 1, 0],
        (1, 3): m[..., 0, 2] + m[..., 2, 0],
        (2, 3): m[..., 1, 2] + m[..., 2, 1],
    }.items():
        rows[..., i, j] = rows[..., j, i] = value
    largest = np.diagonal(rows, axis1=-2, axis2=-1).argmax(-1)
    row = np.take_along_axis(rows, largest[..., None, None], axis=-2)[..., 0, :]
    return row / np.linalg.norm(row, axis=-1, keepdims=True)


def to_matrices(quaternions: np.ndarray) -> np.ndarray:
    """Convert unit quaternions (…, 4) to rotation matrices (…, 3, 3)."""
    w, x, y, z = np.moveaxis(np.asarray(quaternions, np.float64), -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


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


def slerp(first: np.ndarray, second: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Interpolate unit quaternions (…, 4) along the shorter arc at constant angular speed.

    Args:
        first: at fraction 0.
        second: at fraction 1; of either sign.
        fraction: (…, 1), 0…1.
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    cosine = (first * second).sum(-1, keepdims=True)
    second = np.where(cosine < 0, -second, second)
    # The arc tangent is exact for small angles, too, where the cosine hardly differs from one.
    angle = 2 * np.arctan2(
        np.linalg.norm(first - second, axis=-1, keepdims=True),
        np.linalg.norm(first + second, axis=-1, keepdims=True),
    )
    is_small = angle < 1e-6
    sine = np.where(is_small, 1, np.sin(angle))
    weight_first = np.where(is_small, 1 - fraction, np.sin((1 - fraction) * angle) / sine)
    weight_second = np.where(is_small, fraction, np.sin(fraction * angle) / sine)
    result = weight_first * first + weight_second * second
    return result / np.linalg.norm(result, axis=-1, keepdims=True)
