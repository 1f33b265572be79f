"""Skeletons: rest bones of an armature and poses computed from them, as Blender evaluates them."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import bpy
import numpy as np
from mathutils import Matrix

from .errors import RetargetError

_SCALE_TOLERANCE = 1e-3  # relative difference of an object's scales that is rounding


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Rest bones of an armature; parents come before their children."""

    bones: tuple[bpy.types.Bone, ...]
    parents: np.ndarray  # (bones,): index of the parent, -1 without one
    rest: np.ndarray  # (bones, 4, 4): in armature space
    tails: np.ndarray  # (bones, 3): in armature space
    world: np.ndarray  # (4, 4): world from armature, a rotation with one scale and an offset

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the bones."""
        return tuple(bone.name for bone in self.bones)

    @cached_property
    def index(self) -> dict[str, int]:
        """Positions of the bones by their names."""
        return {name: index for index, name in enumerate(self.names)}

    @cached_property
    def relative(self) -> np.ndarray:
        """Rest matrices in the parents' axes, (bones, 4, 4); in armature space without one."""
        inverse = np.linalg.inv(self.rest)[self.parents]
        inverse[self.parents < 0] = np.eye(4)
        return inverse @ self.rest

    @property
    def scale(self) -> float:
        """World units in a unit of the armature."""
        return float(np.linalg.norm(self.world[:3, 1]))

    @property
    def world_rotation(self) -> np.ndarray:
        """Rotation of `world`, (3, 3)."""
        return self.world[:3, :3] / self.scale

    def with_ancestors(self, names: Iterable[str]) -> set[int]:
        """Return the positions of bones and of all bones above them."""
        found: set[int] = set()
        for name in names:
            bone = self.index[name]
            while bone >= 0 and bone not in found:
                found.add(bone)
                bone = int(self.parents[bone])
        return found


class BoneSpace(NamedTuple):
    """Space in which a bone's own transform applies, from its posed parent; armature space."""

    rotation: np.ndarray  # (frames, 4, 4): of rotation and scale; its offset is the head's
    location: np.ndarray  # (frames, 4, 4): of location


def read(armature: bpy.types.Object) -> Skeleton:
    """Return the skeleton of an armature object.

    Raises:
        RetargetError: it is scaled unevenly or mirrored, or has no bones.
    """
    bones = tuple(armature.data.bones)
    if not bones:
        raise RetargetError(f"{armature.name} has no bones: choose another armature.")
    world = np.array(armature.matrix_world, np.float64)
    scales = np.linalg.norm(world[:3, :3], axis=0)
    axes = world[:3, :3] / np.maximum(scales, 1e-12)
    if np.ptp(scales) > _SCALE_TOLERANCE * scales.max() or np.linalg.det(axes) < 1 - 1e-3:
        raise RetargetError(
            f"{armature.name} is scaled unevenly or mirrored: apply its scale first."
        )
    index = {bone.name: position for position, bone in enumerate(bones)}
    return Skeleton(
        bones=bones,
        parents=np.array([index[bone.parent.name] if bone.parent else -1 for bone in bones]),
        rest=np.array([bone.matrix_local for bone in bones], np.float64),
        tails=np.array([bone.tail_local for bone in bones], np.float64),
        world=world,
    )


def bone_space(skeleton: Skeleton, bone: int, parent_pose: np.ndarray | None) -> BoneSpace:
    """Return the space of a bone's own transform.

    Args:
        skeleton: that has the bone.
        bone: its position.
        parent_pose: (frames, 4, 4) in armature space, or None for a bone without a parent.
    """
    data = skeleton.bones[bone]
    rest = skeleton.rest[bone]
    if parent_pose is None:
        location = rest
        if not data.use_local_location:
            location = np.eye(4)
            location[:3, 3] = rest[:3, 3]
        return BoneSpace(rest[None], location[None])
    if data.use_inherit_rotation and data.inherit_scale == "FULL":
        rotation = parent_pose @ skeleton.relative[bone]
        if data.use_local_location:
            return BoneSpace(rotation, rotation)
        location = parent_pose.copy()
        location[:, :3, 3] = rotation[:, :3, 3]
        return BoneSpace(rotation, location)
    parent_rest = skeleton.rest[skeleton.parents[bone]]
    return _evaluated_space(data, parent_pose, rest, parent_rest)


def pose(
    skeleton: Skeleton,
    own: Mapping[int, np.ndarray],
    bones: Iterable[int] | None = None,
) -> dict[int, np.ndarray]:
    """Return posed bones in armature space, (frames, 4, 4), by position.

    Args:
        skeleton: to pose.
        own: transforms of bones in their own axes, (frames, 4, 4); others are at rest.
        bones: the bones to pose, with all their ancestors; all if None.
    """
    posed: dict[int, np.ndarray] = {}
    for bone in range(len(skeleton.bones)) if bones is None else sorted(bones):
        parent = int(skeleton.parents[bone])
        space = bone_space(skeleton, bone, posed.get(parent))
        posed[bone] = apply(space, own.get(bone, np.eye(4)[None]))
    return posed


def apply(space: BoneSpace, own: np.ndarray) -> np.ndarray:
    """Return bones posed by their own transforms (frames, 4, 4), in armature space."""
    result = space.rotation @ own
    moved = space.location[:, :3, :3] @ own[:, :3, 3:]
    result[:, :3, 3] = space.location[:, :3, 3] + moved[..., 0]
    return result


def neutral_transforms(
    armature: bpy.types.Object, skeleton: Skeleton, rotated: Container[str], moved: Container[str]
) -> dict[int, np.ndarray]:
    """Return the own transforms, (1, 4, 4), of the pose that keys are added to.

    It is the present pose, without what will be keyed: a rig's other bones are where they are.

    Args:
        armature: object with the pose.
        skeleton: of it.
        rotated: names of bones whose rotation will be keyed.
        moved: names of those whose location will be keyed.
    """
    found: dict[int, np.ndarray] = {}
    for index, name in enumerate(skeleton.names):
        own = armature.pose.bones[name].matrix_basis
        location, rotation, scale = own.decompose()
        if name in rotated:
            rotation.identity()
        if name in moved:
            location.zero()
        if name in rotated or name in moved:
            own = Matrix.LocRotScale(location, rotation, scale)
        matrix = np.array(own, np.float64)
        if not np.allclose(matrix, np.eye(4), atol=1e-7):
            found[index] = matrix[None]
    return found


def _evaluated_space(
    data: bpy.types.Bone, parent_pose: np.ndarray, rest: np.ndarray, parent_rest: np.ndarray
) -> BoneSpace:
    """Let Blender compute the space of a bone that inherits only a part of its parent's pose."""
    unit, matrix_local, parent_local = Matrix(), Matrix(rest), Matrix(parent_rest)
    steps = [Matrix.Translation(axis) for axis in np.eye(3)]
    rotation, location = np.empty_like(parent_pose), np.empty_like(parent_pose)
    for frame, parent in enumerate(parent_pose):
        matrices = [
            np.array(
                data.convert_local_to_pose(
                    own,
                    matrix_local,
                    parent_matrix=Matrix(parent),
                    parent_matrix_local=parent_local,
                )
            )
            for own in (unit, *steps)
        ]
        rotation[frame] = matrices[0]
        location[frame] = np.eye(4)
        location[frame, :3, 3] = matrices[0][:3, 3]
        for axis, moved in enumerate(matrices[1:]):
            location[frame, :3, axis] = moved[:3, 3] - matrices[0][:3, 3]
    return BoneSpace(rotation, location)
