"""FK transfer: poses of the source as world rotations and hips of the target.

With D_s the rotation of a source bone from its rest pose and C the correction of the rest poses
(`rest_alignment.py`), a bone of the target is rotated from its own rest pose by D = D_s C. All in
the world, so neither bone axes nor the objects' rotations matter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from . import rest_alignment, roles
from .rest_alignment import RoleRest
from .rotations import blend, rotated

Travel = Literal["SCALED", "VIDEO"]


@dataclass(frozen=True, eq=False)
class RoleMotion:
    """Motion of a rig's roles in the world."""

    rest: RoleRest
    rotations: Mapping[str, np.ndarray]  # (frames, 3, 3): from rest
    positions: Mapping[str, np.ndarray]  # (frames, 3): of the heads
    ground: float  # height on which the rest pose stands, world units
    floor: float  # height of the floor under the motion, world units


@dataclass(frozen=True, eq=False)
class FloorMap:
    """Map of the floor and of heights above it from the source's motion to the target's."""

    scale: float  # of heights and lengths
    travel: float  # of distances on the floor
    origin: np.ndarray  # (2,): the point of the floor that stays

    def places(self, points: np.ndarray) -> np.ndarray:
        """Map places on the floor, (…, 2)."""
        return (points - self.origin) * self.travel + self.origin


def fk(
    source: RoleMotion, target: RoleRest, ground: float, travel: Travel
) -> tuple[RoleMotion, FloorMap]:
    """Carry rotations and hips of a motion over to another rig.

    Args:
        source: motion to carry over.
        target: rest pose of the rig.
        ground: height on which the target's rest pose stands.
        travel: SCALED: distances by the ratio of the legs, so that steps fit. VIDEO: as they are.

    Raises:
        RetargetError: one of both has no facing direction.
    """
    rotations = _rotations(source, target)
    floor_map = _floor_map(source, target, travel)
    hips = _hips(source, target, ground, floor_map, rotations["hips"])
    positions = forward(target, rotations, hips)
    motion = RoleMotion(target, rotations, positions, ground, source.floor)
    return motion, floor_map


def forward(
    rest: RoleRest, rotations: Mapping[str, np.ndarray], hips: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the positions (frames, 3) of the roles' heads, from those of the hips.

    Roles that nothing carries but the root are left out.
    """
    positions = {"hips": hips}
    for role in roles.ROLES:
        parent = rest.parents.get(role)
        if role in rest.heads and parent in positions and role != "hips":
            offset = rest.heads[role] - rest.heads[parent]
            positions[role] = positions[parent] + rotated(rotations[parent], offset)
    return positions


def _rotations(source: RoleMotion, target: RoleRest) -> dict[str, np.ndarray]:
    """Return the rotations from rest of the target's roles that the source can move."""
    corrections = rest_alignment.corrections(source.rest, target)
    found: dict[str, np.ndarray] = {}
    first_carrier = source.rotations["hips"]
    for name in roles.CHAINS:
        deltas, last = _chain(source, target, name, first_carrier)
        found |= {role: delta @ corrections[role] for role, delta in deltas.items()}
        first_carrier = last
    for role in target.heads:
        if role in source.rotations and role.split(".")[0] not in roles.CHAINS and role != "root":
            found[role] = source.rotations[role] @ corrections[role]
    return found


def _chain(
    source: RoleMotion, target: RoleRest, name: str, start: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Distribute the rotations of a chain over one with another number of bones.

    A bone is as far along its chain as its end is. The last bone gets the last one's rotation, as
    it carries what comes next.

    Args:
        source: motion.
        target: rest pose.
        name: of the chain.
        start: rotation of what carries the source's chain, (frames, 3, 3).

    Returns:
        Rotations from rest by the target's roles, and that of the last bone of the source.
    """
    given = [role for role in roles.chain(name) if role in source.rotations]
    wanted = [role for role in roles.chain(name) if role in target.heads]
    if not given:
        return {}, start
    shares = [0.0, *_shares(source.rest, given)]
    rotations = [start, *(source.rotations[role] for role in given)]
    result = {}
    for role, share in zip(wanted, _shares(target, wanted), strict=True):
        after = int(np.clip(np.searchsorted(shares, share - 1e-6), 1, len(shares) - 1))
        width = shares[after] - shares[after - 1]
        fraction = (share - shares[after - 1]) / width if width > 0 else 1.0
        fraction = 1.0 if abs(fraction - 1) < 1e-4 else fraction
        result[role] = blend(rotations[after - 1], rotations[after], fraction)
    return result, rotations[-1]


def _shares(rest: RoleRest, chain: list[str]) -> list[float]:
    """Return how far along its chain each bone ends, 0…1."""
    if not chain:
        return []
    joints = [rest.heads[role] for role in chain] + [rest.tails[chain[-1]]]
    lengths = [np.linalg.norm(b - a) for a, b in pairwise(joints)]
    total = sum(lengths)
    if total <= 0:
        return [(index + 1) / len(chain) for index in range(len(chain))]
    return [float(length) for length in np.cumsum(lengths) / total]


def _floor_map(source: RoleMotion, target: RoleRest, travel: Travel) -> FloorMap:
    scale = target.leg_length() / source.rest.leg_length()
    origin = source.positions["hips"][0, :2]
    return FloorMap(scale, scale if travel == "SCALED" else 1.0, origin)


def _hips(
    source: RoleMotion,
    target: RoleRest,
    ground: float,
    floor_map: FloorMap,
    rotations: np.ndarray,
) -> np.ndarray:
    """Return positions of the target's hips, (frames, 3), from the point between the hip joints."""
    middle = (source.positions["thigh.L"] + source.positions["thigh.R"]) / 2
    above_ankles = middle[:, 2] - source.floor - source.rest.ankle_height(source.ground)
    height = above_ankles * floor_map.scale + target.ankle_height(ground) + source.floor
    mapped = np.column_stack((floor_map.places(middle[:, :2]), height))
    return mapped - rotated(rotations, target.thigh_middle() - target.heads["hips"])
