"""Local poses: keys of a plain skeleton that bring its bones to wanted places in the world."""

from collections.abc import Mapping
from typing import NamedTuple

import bpy
import numpy as np

from . import skeleton as skeletons
from .channels import Channels, rotation_channels
from .rotations import orthonormal
from .skeleton import Skeleton


class Wish(NamedTuple):
    """Where a bone shall be in the world."""

    rotation: np.ndarray  # (frames, 3, 3): of the bone's axes
    position: np.ndarray | None = None  # (frames, 3): of its head; None: not keyed


class BoneKeys(NamedTuple):
    """Keys of one bone."""

    rotation: Channels
    location: np.ndarray | None  # (frames, 3)


def solve(
    armature: bpy.types.Object,
    skeleton: Skeleton,
    wishes: Mapping[str, Wish],
    neutral: Mapping[int, np.ndarray],
    *,
    use_locks: bool,
) -> dict[str, BoneKeys]:
    """Return the keys of bones, by name.

    What a locked axis prevents at one bone, its children make up for in their directions.

    Args:
        armature: object with the pose.
        skeleton: of it.
        wishes: by the names of the bones.
        neutral: pose that the keys are added to (see `skeleton.neutral_transforms`).
        use_locks: do not key locked axes.
    """
    frames = len(next(iter(wishes.values())).rotation)
    keys: dict[str, BoneKeys] = {}
    posed: dict[int, np.ndarray] = {}
    for bone in sorted(skeleton.with_ancestors(wishes)):
        name = skeleton.names[bone]
        space = skeletons.bone_space(skeleton, bone, posed.get(int(skeleton.parents[bone])))
        own = neutral.get(bone, np.eye(4)[None])
        if wish := wishes.get(name):
            own, keys[name] = _keyed(
                armature.pose.bones[name], skeleton, wish, space, own, frames, use_locks
            )
        posed[bone] = skeletons.apply(space, own)
    return keys


def _keyed(
    bone: bpy.types.PoseBone,
    skeleton: Skeleton,
    wish: Wish,
    space: skeletons.BoneSpace,
    neutral: np.ndarray,
    frames: int,
    use_locks: bool,
) -> tuple[np.ndarray, BoneKeys]:
    """Return a bone's own transforms (frames, 4, 4) and its keys."""
    in_armature = skeleton.world_rotation.T @ wish.rotation
    wanted = orthonormal(space.rotation[:, :3, :3]).swapaxes(1, 2) @ in_armature
    channels = rotation_channels(bone, wanted, use_locks=use_locks)
    own = np.tile(neutral, (frames, 1, 1)) if len(neutral) == 1 else neutral.copy()
    scales = np.linalg.norm(own[:, :3, :3], axis=1)  # the neutral pose is not rotated here
    own[:, :3, :3] = channels.rotations * scales[:, None, :]
    location = None
    if wish.position is not None:
        centered = wish.position - skeleton.world[:3, 3]
        target = centered @ skeleton.world_rotation / skeleton.scale
        offset = target - space.location[:, :3, 3]
        location = np.linalg.solve(space.location[:, :3, :3], offset[..., None])[..., 0]
        own[:, :3, 3] = location
    return own, BoneKeys(channels, location)
