"""Rest alignment: the rotation from a target's rest pose to the source's, by role.

Rest poses differ in facing, in the pose (A, T, bent) and in the axes of the bones. Rotations are
carried over as differences from rest, so each role needs the rotation C that turns the target's
rest into the source's. Then a bone's axes and its roll drop out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from . import roles
from .errors import RetargetError
from .rotations import across, frame, rotated, shortest_arc, unit

_UPRIGHT = np.cos(np.radians(25))  # the body's up is an axis of the armature that is this near
_SHORTEST = 1e-3  # a limb's least length, as a share of the distance from hips to shoulders
_AHEAD = {  # the next joint of a limb, or the best there is
    "upper_arm": "forearm",
    "forearm": "hand",
    "thigh": "shin",
    "shin": "foot",
}


@dataclass(frozen=True, eq=False)
class RoleRest:
    """Rest pose of a rig's roles in the world."""

    heads: Mapping[str, np.ndarray]  # (3,)
    tails: Mapping[str, np.ndarray]  # (3,): of the bones
    rotations: Mapping[str, np.ndarray]  # (3, 3)
    parents: Mapping[str, str | None]  # the role whose bone carries a role's
    axes: np.ndarray  # (3, 3): the armature's own axes as columns; one of them is often up

    def end(self, role: str) -> np.ndarray:
        """Return where a role's limb ends: at the next joint, else at the bone's tail."""
        name, side = role.split(".")[0], roles.side_of(role)
        following = _AHEAD.get(name, "")
        if name in roles.FINGERS:
            number = int(role.split(".")[1])
            following = f"{name}.{number + 1}"
        return self.heads.get(f"{following}.{side}", self.tails[role])

    def facing(self) -> np.ndarray:
        """Return the body's axes as columns, (3, 3): its left, back and up.

        Raises:
            RetargetError: the hips or the shoulders have no width, or the body no height.
        """
        left = self._line("thigh")
        has_arms = "upper_arm.L" in self.heads and "upper_arm.R" in self.heads
        if has_arms:
            left = left + self._line("upper_arm")
        up = self._top(has_arms) - self._middle("thigh")
        if np.linalg.norm(up) < 1e-9:
            raise RetargetError("The hips and the shoulders are at the same place.")
        up = unit(up)
        along = up @ self.axes
        axis = np.abs(along).argmax()
        if abs(along[axis]) > _UPRIGHT:
            up = self.axes[:, axis] * np.sign(along[axis])
        left = across(left, up)
        if np.linalg.norm(left) < 1e-9:
            raise RetargetError(
                "The left and the right leg are at the same place: correct the mapping."
            )
        left = unit(left)
        return np.stack([left, np.cross(up, left), up], -1)

    def leg_length(self) -> float:
        """Return the mean length of the legs from hip to ankle, or of what is mapped of them."""
        lengths = []
        for side in roles.SIDES:
            joints = [
                self.heads[f"{name}.{side}"]
                for name in ("thigh", "shin", "foot")
                if f"{name}.{side}" in self.heads
            ]
            if f"foot.{side}" not in self.heads:
                joints.append(self.tails[f"shin.{side}"])
            lengths.append(sum(np.linalg.norm(end - start) for start, end in pairwise(joints)))
        return float(np.mean(lengths))

    @property
    def up(self) -> np.ndarray:
        """Direction from feet to head, (3,): not the world's if the rig lies on its back."""
        return self.facing()[:, 2]

    def ankle_height(self, ground: float) -> float:
        """Return the mean height of the ankles above the ground along the body, world units."""
        heights = [
            self.heads.get(f"foot.{side}", self.tails[f"shin.{side}"]) @ self.up
            for side in roles.SIDES
        ]
        return float(np.mean(heights)) - ground

    def thigh_middle(self) -> np.ndarray:
        """Return the point between the hip joints, (3,)."""
        return self._middle("thigh")

    def short_limb(self) -> str | None:
        """Return a role of arms or legs that has no length, or None."""
        size = np.linalg.norm(self._top("upper_arm.L" in self.heads) - self._middle("thigh"))
        for name in _AHEAD:
            for side in roles.SIDES:
                role = f"{name}.{side}"
                if role in self.heads:
                    length = np.linalg.norm(self.end(role) - self.heads[role])
                    if length < _SHORTEST * size:
                        return role
        return None

    def _line(self, name: str) -> np.ndarray:
        return self.heads[f"{name}.L"] - self.heads[f"{name}.R"]

    def _middle(self, name: str) -> np.ndarray:
        return (self.heads[f"{name}.L"] + self.heads[f"{name}.R"]) / 2

    def _top(self, has_arms: bool) -> np.ndarray:
        if has_arms:
            return self._middle("upper_arm")
        for role in ("head", "neck.1"):
            if role in self.heads:
                return self.heads[role]
        return self.tails["hips"]


def corrections(source: RoleRest, target: RoleRest) -> dict[str, np.ndarray]:
    """Return the rotations (3, 3) from the target's rest pose to the source's, by target role.

    Trunk, head, shoulder blades and feet turn with the whole body; arms and legs take the shortest
    arc from the joint before; hands are turned by the palm, fingers follow from the hand.

    Raises:
        RetargetError: one of both has no facing direction.
    """
    facing = source.facing() @ target.facing().T
    result = dict.fromkeys(target.heads, facing)
    for side in roles.SIDES:
        for names in (("upper_arm", "forearm"), ("thigh", "shin")):
            before = facing
            for name in names:
                before = _aligned(source, target, f"{name}.{side}", before, result)
        hand = f"hand.{side}"
        before = result.get(f"forearm.{side}", facing)
        if hand in target.heads and hand in source.heads:
            result[hand] = _hand_correction(source, target, side, before)
        for name in roles.FINGERS:
            before = result.get(hand, before)
            for role in roles.finger(name, side):
                before = _aligned(source, target, role, before, result)
    return result


def _aligned(
    source: RoleRest,
    target: RoleRest,
    role: str,
    before: np.ndarray,
    result: dict[str, np.ndarray],
) -> np.ndarray:
    """Store and return the correction of a limb after that of the joint before."""
    if role not in target.heads:
        return before
    if role in source.heads:
        own = target.end(role) - target.heads[role]
        theirs = source.end(role) - source.heads[role]
        before = shortest_arc(rotated(before, own), theirs) @ before
    result[role] = before
    return before


def _hand_correction(
    source: RoleRest, target: RoleRest, side: str, before: np.ndarray
) -> np.ndarray:
    shared = [
        f"{name}.1.{side}"
        for name in roles.FINGERS_BEHIND_THUMB
        if all(f"{name}.1.{side}" in rest.heads for rest in (source, target))
    ]
    if len(shared) >= 2:
        return _palm(source, side, shared) @ _palm(target, side, shared).T
    own, theirs = (_hand_direction(rest, side) for rest in (target, source))
    return shortest_arc(rotated(before, own), theirs) @ before


def _palm(rest: RoleRest, side: str, fingers: list[str]) -> np.ndarray:
    """Return the palm's axes: along the hand, and from the last finger to the first."""
    knuckles = np.array([rest.heads[role] for role in fingers])
    along = knuckles.mean(0) - rest.heads[f"hand.{side}"]
    return frame(along, knuckles[0] - knuckles[-1])


def _hand_direction(rest: RoleRest, side: str) -> np.ndarray:
    hand = f"hand.{side}"
    knuckles = [
        rest.heads[f"{name}.1.{side}"]
        for name in roles.FINGERS_BEHIND_THUMB
        if f"{name}.1.{side}" in rest.heads
    ]
    end = np.mean(knuckles, axis=0) if knuckles else rest.tails[hand]
    return end - rest.heads[hand]
