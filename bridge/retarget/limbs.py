"""Limbs: arms and legs that reach a point, with the bend and the twist of their pose."""

from collections.abc import Mapping

import numpy as np

from . import two_bone_ik
from .rest_alignment import RoleRest
from .rotations import rotated

ARM = ("upper_arm", "forearm", "hand")
LEG = ("thigh", "shin", "foot")
_PLANE = 1e-3  # bend, as a share of the limb's length, that has a plane where poses are kept
_STRAIGHT_BEND = {"upper_arm": 1.0, "thigh": -1.0}  # elbows go back, knees forward


def lengths(rest: RoleRest, limb: tuple[str, ...], side: str) -> tuple[float, float]:
    """Return the lengths of a limb's two bones at rest.

    Args:
        rest: of the rig.
        limb: names of its three roles.
        side: of the body.
    """
    start, middle, end = (rest.heads[f"{name}.{side}"] for name in limb)
    return float(np.linalg.norm(middle - start)), float(np.linalg.norm(end - middle))


def reach(
    rest: RoleRest,
    rotations: Mapping[str, np.ndarray],
    positions: Mapping[str, np.ndarray],
    limb: tuple[str, ...],
    side: str,
    point: np.ndarray,
    *,
    keeps_pose: bool = False,
) -> dict[str, np.ndarray]:
    """Return the rotations of a limb's two bones with which its end is at a point.

    Args:
        rest: of the rig.
        rotations: from rest, (frames, 3, 3), by role.
        positions: of the heads, (frames, 3), by role.
        limb: names of its three roles.
        side: of the body.
        point: for the hand or the foot, (frames, 3); the limb points at one out of reach.
        keeps_pose: a limb whose end stays keeps its pose, however straight it is.
    """
    upper, lower, end = (f"{name}.{side}" for name in limb)
    bend = rotated(rotations[upper], _STRAIGHT_BEND[limb[0]] * rest.facing()[:, 1])
    start = positions[upper]
    bent = {"bent": _PLANE} if keeps_pose else {}
    straightest = 1.0 if keeps_pose else two_bone_ik.STRAIGHTEST
    pole = two_bone_ik.bend_direction(start, positions[lower], positions[end], bend, **bent)
    middle, reached = two_bone_ik.solve(
        start, lengths(rest, limb, side), point, pole, straightest=straightest
    )
    offsets = rest.heads[lower] - rest.heads[upper], rest.heads[end] - rest.heads[lower]
    turned = two_bone_ik.limb_rotations(
        (rotations[upper], rotations[lower]), offsets, (start, middle, reached)
    )
    return dict(zip((upper, lower), turned, strict=True))
