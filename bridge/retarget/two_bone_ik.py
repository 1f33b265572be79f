"""Two-bone inverse kinematics: an arm's or a leg's middle joint for a given end, in closed form."""

import numpy as np

from .rotations import across, rotated, shortest_arc, unit

STRAIGHTEST = 0.9995  # of the limb's length: a limb that is quite straight has no plane
_BENT = 0.06  # bend, as a share of the limb's length, that alone gives the plane


def solve(
    start: np.ndarray,
    lengths: tuple[float, float],
    end: np.ndarray,
    pole: np.ndarray,
    *,
    straightest: float = STRAIGHTEST,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle joint and the end that is reached, (frames, 3) each.

    Args:
        start: hip or shoulder, (frames, 3).
        lengths: of the two bones.
        end: wanted ankle or wrist, (frames, 3); the limb points at one that is out of reach.
        pole: direction in which the middle joint bends, (frames, 3), of any length.
        straightest: share of the limb's length that is used.
    """
    first, second = lengths
    toward = end - start
    distance = np.linalg.norm(toward, axis=-1, keepdims=True)
    nearest = abs(first - second) + 1e-4 * (first + second)
    reached = np.clip(distance, nearest, straightest * (first + second))
    axis = unit(toward)
    along = (first**2 - second**2 + reached**2) / (2 * reached)
    height = np.sqrt(np.maximum(first**2 - along**2, 0))
    side = unit(across(pole, axis))
    return start + axis * along + side * height, start + axis * reached


def bend_direction(
    start: np.ndarray,
    middle: np.ndarray,
    end: np.ndarray,
    fallback: np.ndarray,
    *,
    bent: float = _BENT,
) -> np.ndarray:
    """Return the direction in which a posed limb bends, (frames, 3).

    Args:
        start: hip or shoulder, (frames, 3).
        middle: knee or elbow.
        end: ankle or wrist.
        fallback: direction for a straight limb, (frames, 3); a nearly straight one mixes both.
        bent: bend, as a share of the limb's length, that alone gives the direction.
    """
    axis = unit(end - start)
    bend = across(middle - start, axis)
    length = np.linalg.norm(middle - start, axis=-1) + np.linalg.norm(end - middle, axis=-1)
    share = np.linalg.norm(bend, axis=-1) / np.maximum(length, 1e-9)
    weight = np.clip(share / bent, 0, 1)[..., None]
    return unit(weight * unit(bend) + (1 - weight) * unit(across(fallback, axis)))


def limb_rotations(
    rotations: tuple[np.ndarray, np.ndarray],
    offsets: tuple[np.ndarray, np.ndarray],
    joints: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a limb's bones to its new joints by the shortest arcs, which keeps their twist.

    Args:
        rotations: of both bones from rest, (frames, 3, 3).
        offsets: from joint to joint at rest, (3,).
        joints: start, middle and end, (frames, 3).
    """
    turned = [
        shortest_arc(rotated(rotation, offset), after - before) @ rotation
        for rotation, offset, before, after in zip(
            rotations, offsets, joints[:2], joints[1:], strict=True
        )
    ]
    return turned[0], turned[1]
