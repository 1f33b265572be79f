"""Root motion: whether the hips, a root bone or nothing travels."""

import dataclasses
from typing import Literal

import numpy as np

from .errors import RetargetError
from .rotations import about, rotated
from .transfer import RoleMotion

RootMode = Literal["HIPS", "ROOT", "IN_PLACE"]


def separate(motion: RoleMotion, mode: RootMode, *, has_root: bool, name: str) -> RoleMotion:
    """Return a motion with the travel where it is wanted.

    Args:
        motion: of the target, with the travel in the hips.
        mode: HIPS: unchanged. ROOT: the root bone follows the hips over the floor and turns with
            them; the world's motion of the body is the same. IN_PLACE: nothing travels.
        has_root: whether a root bone is mapped.
        name: of the target, for the message.

    Raises:
        RetargetError: there is no root bone.
    """
    if mode == "HIPS":
        return motion
    if mode == "IN_PLACE":
        hips = motion.positions["hips"]
        travel = hips - hips[0]
        travel[:, 2] = 0
        positions = {role: points - travel for role, points in motion.positions.items()}
        return dataclasses.replace(motion, positions=positions)
    if not has_root:
        raise RetargetError(
            f"{name} has no root bone in its mapping: choose one, or leave the motion on the hips."
        )
    turn = _heading(motion)
    rotation, position = turn @ _upright(motion), motion.positions["hips"].copy()
    rest = motion.rest
    offset = rest.heads["root"] - rest.heads["hips"]
    offset = offset - rest.up * (offset @ rest.up)
    position += rotated(rotation, offset)
    position[:, 2] = rest.heads["root"] @ rest.up - motion.ground + motion.floor
    return dataclasses.replace(
        motion,
        rotations={**motion.rotations, "root": rotation},
        positions={**motion.positions, "root": position},
    )


def _upright(motion: RoleMotion) -> np.ndarray:
    """Return the rotation that puts the rest pose upright, facing along −y, (3, 3)."""
    return motion.rest.facing().T


def _heading(motion: RoleMotion) -> np.ndarray:
    """Return the turns of the hips about the vertical, (frames, 3, 3), from facing along −y."""
    left = rotated(motion.rotations["hips"], motion.rest.facing()[:, 0])
    angles = np.unwrap(np.arctan2(left[:, 1], left[:, 0]))
    return about(np.array([0.0, 0, 1]), angles)
