"""Contacts of feet: the frames in which they touch the floor, and the bones that move them."""

from typing import NamedTuple

import bpy
import numpy as np

from .. import contact_curves
from ..retarget import contacts as foot_contacts
from ..retarget import feet, roles, source_motion
from ..retarget.contacts import Contacts
from ..retarget.errors import RetargetError
from ..retarget.mapping import RigMapping

_FOOT = ("foot", "midfoot", "toe", "toe_end")
_LEG = ("hips", "thigh", "shin", *_FOOT)


class Foot(NamedTuple):
    """A foot with its contacts."""

    side: str  # L or R
    runs: tuple[tuple[int, int], ...]  # indices of the first and last frame of each contact
    bones: tuple[str, ...]  # whose joints touch the floor
    movers: frozenset[str]  # bones and controls that move it

    def in_contact(self, count: int) -> np.ndarray:
        """Return in which of so many frames it touches the floor, (frames,)."""
        result = np.zeros(count, bool)
        for first, last in self.runs:
            result[first : last + 1] = True
        return result


def find(
    armature: bpy.types.Object,
    mapping: RigMapping | None,
    frames: np.ndarray,
    fps: float,
    stored: Contacts | None = None,
) -> tuple[Foot, ...]:
    """Return the feet of an armature with their contacts; none where no body is known.

    Args:
        armature: with an action.
        mapping: of its bones, or None.
        frames: of the scene, (frames,).
        fps: frames per second.
        stored: contacts of the motion; None: those of the armature's contact curves, or found
            from the motion.
    """
    if mapping is None:
        return ()
    try:
        motion = source_motion.read(armature, mapping, frames, lambda share: None).motion
    except RetargetError:
        return ()
    stored = stored or contact_curves.read(armature, frames)
    found = []
    for side in roles.SIDES:
        if f"foot.{side}" not in mapping.bones:
            continue
        confidence = stored.get(side) if stored else None
        if confidence is None:
            points = feet.sole_points(motion, side)[:, [0, 2]]
            leg = motion.rest.leg_length()
            confidence = foot_contacts.from_motion(points, motion.floor, leg, fps)
        runs = tuple(foot_contacts.runs(confidence.max(-1), fps))
        names = [f"{name}.{side}" for name in _FOOT]
        bones = tuple(mapping.bones[role] for role in names if role in mapping.bones)
        found.append(Foot(side, runs, bones, _movers(mapping, side)))
    return tuple(found)


def _movers(mapping: RigMapping, side: str) -> frozenset[str]:
    names = [role if role == "hips" else f"{role}.{side}" for role in _LEG]
    found = {mapping.bones.get(role, "") for role in names}
    found |= {mapping.control(role) for role in names}
    if chain := mapping.ik.get(f"foot.{side}"):
        found |= {chain.end, chain.pole, chain.toe}
    return frozenset(found - {""})
