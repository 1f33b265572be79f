"""Whole body: the bones that carry all others, its facing direction, and how it is moved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import bpy
import numpy as np

from .. import quaternions
from ..retarget import sampling, steps
from ..retarget import skeleton as skeletons
from ..retarget.mapping import RigMapping
from ..retarget.rotations import orthonormal, rotated, unit
from ..retarget.skeleton import BoneSpace, Skeleton
from ..retarget.steps import Pace
from . import bone_curves
from .bone_curves import Track
from .errors import KeysError
from .posing import rotation_samples

_PROBES = 12  # frames in which it is seen whether what carries a bone moves
_STILL = 1e-4  # of the armature's size
_SYMMETRIC = 1e-3  # of the armature's size, within which a rest pose is symmetric about x = 0


@dataclass(frozen=True, eq=False)
class Carrier:
    """Bone that no other keyed bone moves."""

    bone: str
    space: BoneSpace  # of its own transform, (1, 4, 4)


def carriers(
    armature: bpy.types.Object, skeleton: Skeleton, bones: Sequence[str], frames: np.ndarray
) -> list[Carrier]:
    """Return the keyed bones that no other keyed bone moves: the hips or a root, IK controls.

    Args:
        armature: with an action.
        skeleton: of it.
        bones: names of the keyed bones.
        frames: of the action, (frames,).

    Raises:
        KeysError: none is found, as the armature itself moves.
    """
    parents = {name: int(skeleton.parents[skeleton.index[name]]) for name in bones}
    names = sorted({skeleton.names[parent] for parent in parents.values() if parent >= 0})
    probes = frames[np.unique(np.linspace(0, len(frames) - 1, _PROBES).round().astype(int))]
    posed: dict[str, np.ndarray] = {}
    if names:
        sampled = sampling.world_transforms(armature, names, probes, Pace(np.inf))
        transforms = steps.finish(sampled, lambda share: None)
        inside = np.linalg.inv(skeleton.world) @ transforms
        posed = {name: inside[:, index] for index, name in enumerate(names)}
    size = np.ptp(skeleton.rest[:, :3, 3], axis=0).max() or 1.0
    found = []
    for name, parent in parents.items():
        above = posed[skeleton.names[parent]] if parent >= 0 else None
        if above is not None and np.ptp(above, axis=0).max() > _STILL * max(size, 1.0):
            continue
        first = None if above is None else above[:1]
        space = skeletons.bone_space(skeleton, skeleton.index[name], first)
        found.append(Carrier(name, space))
    if not found:
        raise KeysError(
            f"{armature.name} itself moves, not its bones alone: move the keys to a bone first."
        )
    return found


class Facing(NamedTuple):
    """The body's plane of symmetry at rest, in armature space."""

    side: np.ndarray  # (3,): unit vector to the left
    middle: np.ndarray  # (3,): a point of the plane
    hips: str  # bone that it moves with


def facing(skeleton: Skeleton, mapping: RigMapping | None, found: Sequence[Carrier]) -> Facing:
    """Return the plane of symmetry of a rest pose; without a mapping that of x = 0."""
    side, middle = np.array([1.0, 0, 0]), np.zeros(3)
    if mapping is None or not {"hips", "thigh.L", "thigh.R"} <= set(mapping.bones):
        return Facing(side, middle, found[0].bone)
    left, right = (
        skeleton.rest[skeleton.index[mapping.bones[f"thigh.{each}"]], :3, 3] for each in "LR"
    )
    size = np.ptp(skeleton.rest[:, :3, 3], axis=0).max()
    across, center = unit(left - right), (left + right) / 2
    if abs(across[0]) > 1 - _SYMMETRIC and abs(center[0]) < _SYMMETRIC * size:
        return Facing(np.sign(across[0]) * side, center * [0, 1, 1], mapping.bones["hips"])
    return Facing(across, center, mapping.bones["hips"])


def reflection(side: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Return the reflection across a plane, (4, 4)."""
    result = np.eye(4)
    result[:3, :3] -= 2 * np.outer(side, side)
    result[:3, 3] = 2 * (side @ middle) * side
    return result


def hips_in_world(
    armature: bpy.types.Object, skeleton: Skeleton, where: Facing, frames: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the direction to the left and the middle of the hips in the world, (frames, 3)."""
    sampled = sampling.world_transforms(armature, [where.hips], frames, Pace(np.inf))
    posed = steps.finish(sampled, lambda share: None)[:, 0]
    moved = posed @ np.linalg.inv(skeleton.rest[skeleton.index[where.hips]])
    side = rotated(orthonormal(moved[:, :3, :3]), where.side)
    return side, (moved @ np.append(where.middle, 1.0))[:, :3]


def _turned(
    armature: bpy.types.Object, track: Track, samples: np.ndarray, turns: np.ndarray
) -> np.ndarray:
    """Return a rotation's samples after further rotations, (frames or 1, 3, 3)."""
    if track.prop == "rotation_quaternion":  # linear, so that curves keep their shapes
        further = quaternions.make_continuous(quaternions.from_matrices(turns))
        result = quaternions.multiply(np.broadcast_to(further, samples.shape), samples)
        return -result if result[0] @ track.samples[0] < 0 else result
    bone = armature.pose.bones[track.bone]
    own = turns @ bone_curves.rotations(bone, track.prop, samples)
    return rotation_samples(bone, own, track.samples[0])


def moved(
    armature: bpy.types.Object,
    carrier: Carrier,
    tracks: Mapping[str, Track],
    samples: Mapping[str, np.ndarray],
    motion: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return the samples of a carrier's tracks, by property, after a rigid motion of the body.

    Args:
        armature: of the bone.
        carrier: to move.
        tracks: of its location and rotation.
        samples: of these, (frames, components) each.
        motion: (frames or 1, 4, 4), in armature space.
    """
    result = dict(samples)
    space = carrier.space
    for prop, values in samples.items():
        if prop == "location":
            heads = values @ space.location[0, :3, :3].T + space.location[0, :3, 3]
            heads = rotated(motion[:, :3, :3], heads) + motion[:, :3, 3]
            offset = heads - space.location[0, :3, 3]
            result[prop] = np.linalg.solve(space.location[0, :3, :3], offset.T).T
        elif prop.startswith("rotation"):
            axes = orthonormal(space.rotation[:, :3, :3])
            turns = axes.swapaxes(1, 2) @ motion[:, :3, :3] @ axes
            result[prop] = _turned(armature, tracks[prop], values, turns)
    return result
