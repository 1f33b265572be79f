"""Rigs: an armature with its mapping, checked, and the rest pose of its roles in the world."""

from collections.abc import Mapping
from dataclasses import dataclass

import bpy
import numpy as np

from . import roles
from . import skeleton as skeletons
from .errors import RetargetError
from .mapping import RigMapping
from .rest_alignment import RoleRest
from .rotations import orthonormal
from .skeleton import Skeleton

_SOLE = 0.25  # the thickest sole below the bones, as a share of the legs
LEAST_COVERAGE = 0.5  # of the body, with which a motion is still recognizable


@dataclass(frozen=True, eq=False)
class Rig:
    """Armature whose bones have roles."""

    armature: bpy.types.Object
    skeleton: Skeleton
    mapping: RigMapping
    rest: RoleRest
    ground: float  # height of the soles at rest, along the body, world units


def check_mapping(armature: bpy.types.Object, mapping: RigMapping) -> None:
    """Check that a mapping names enough bones, each once.

    Raises:
        RetargetError: it does not.
    """
    missing = [bone for bone in mapping.bones.values() if bone not in armature.data.bones]
    if missing:
        raise RetargetError(
            f"{armature.name} has no bone {missing[0]}: detect the bones again or correct the "
            "mapping."
        )
    lacking = [role for role in roles.REQUIRED if role not in mapping.bones]
    if lacking or mapping.body_coverage < LEAST_COVERAGE:
        found = round(100 * mapping.body_coverage)
        names = ", ".join(roles.label(role) for role in lacking)
        raise RetargetError(
            f"Only {found} % of a body's bones are mapped on {armature.name}"
            + (f" ({names} missing)" if names else "")
            + ": choose a preset or correct the mapping."
        )
    seen: dict[str, str] = {}
    for role, bone in mapping.bones.items():
        if bone in seen:
            raise RetargetError(
                f"The bone {bone} is mapped twice ({roles.label(seen[bone])} and "
                f"{roles.label(role)}): correct the mapping."
            )
        seen[bone] = role


def rest_of(
    skeleton: Skeleton,
    mapping: RigMapping,
    neutral: Mapping[int, np.ndarray],
    *,
    use_bone_parents: bool,
) -> RoleRest:
    """Return the rest pose of the roles in the world.

    Args:
        skeleton: of the rig.
        mapping: of its bones.
        neutral: own transforms of bones that are not at rest.
        use_bone_parents: a role is carried by that of the nearest bone above it. False: bones
            are moved by constraints, so the body tells what carries what.
    """
    posed = skeletons.pose(skeleton, neutral)
    mapped = set(mapping.bones)
    role_of = {bone: role for role, bone in mapping.bones.items()}
    heads, tails, rotations, parents = {}, {}, {}, {}
    for role, name in mapping.bones.items():
        bone = skeleton.index[name]
        matrix = skeleton.world @ posed[bone][0]
        length = np.linalg.norm(skeleton.tails[bone] - skeleton.rest[bone][:3, 3])
        heads[role] = matrix[:3, 3]
        tails[role] = matrix[:3, 3] + matrix[:3, 1] * length
        rotations[role] = orthonormal(matrix[:3, :3])
        parents[role] = (
            _carrier(skeleton, bone, role_of) if use_bone_parents else None
        ) or roles.parent_of(role, mapped)
    return RoleRest(heads, tails, rotations, parents, skeleton.world_rotation)


def ground_of(armature: bpy.types.Object, rest: RoleRest) -> float:
    """Return the height on which a rig stands at rest, along its body, world units.

    It is the lowest point of its meshes. Without meshes, or if they reach far below the feet, it
    is the lowest end of the feet's bones.
    """
    up = rest.up
    ends = [
        point @ up
        for role in rest.heads
        if role.split(".")[0] in roles.LEG
        for point in (rest.heads[role], rest.tails[role])
    ]
    lowest_bone = min(ends)
    lowest = [_lowest_vertex(mesh, up) for mesh in meshes_of(armature)]
    deepest = lowest_bone - _SOLE * rest.leg_length()
    lowest = [height for height in lowest if deepest < height <= lowest_bone + 1e-6]
    return min(lowest, default=lowest_bone)


def check_limbs(armature: bpy.types.Object, rest: RoleRest) -> None:
    """Check that arms and legs have lengths and that the body has a facing direction.

    Raises:
        RetargetError: they do not.
    """
    rest.facing()
    if role := rest.short_limb():
        raise RetargetError(
            f"{roles.label(role)} has no length on {armature.name}: correct the mapping."
        )


def _carrier(skeleton: Skeleton, bone: int, role_of: Mapping[str, str]) -> str | None:
    parent = int(skeleton.parents[bone])
    while parent >= 0:
        if role := role_of.get(skeleton.names[parent]):
            return role
        parent = int(skeleton.parents[parent])
    return None


def meshes_of(armature: bpy.types.Object) -> list[bpy.types.Object]:
    """Return the meshes that an armature deforms."""
    return [
        obj
        for obj in bpy.data.objects
        if obj.type == "MESH"
        and len(obj.data.vertices)
        and any(item.type == "ARMATURE" and item.object == armature for item in obj.modifiers)
    ]


def rest_vertices(mesh: bpy.types.Object) -> np.ndarray:
    """Return the vertices of a mesh with its shape keys, undeformed, in the world, (vertices, 3)."""
    vertices = np.empty(3 * len(mesh.data.vertices), np.float32)
    mesh.data.vertices.foreach_get("co", vertices)
    shape_keys = mesh.data.shape_keys
    if shape_keys and shape_keys.use_relative:
        basis, key_points = vertices.copy(), np.empty_like(vertices)
        for key in shape_keys.key_blocks:
            if key.mute or not key.value or key == shape_keys.reference_key:
                continue
            key.points.foreach_get("co", key_points)
            vertices += key.value * (key_points - basis)
    matrix = np.array(mesh.matrix_world)
    return vertices.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def _lowest_vertex(mesh: bpy.types.Object, up: np.ndarray) -> float:
    return float((rest_vertices(mesh) @ up).min())


def rest_rotation(skeleton: Skeleton, name: str, neutral: Mapping[int, np.ndarray]) -> np.ndarray:
    """Return the rotation of any bone at rest in the world, (3, 3)."""
    posed = skeletons.pose(skeleton, neutral, skeleton.with_ancestors([name]))
    return orthonormal((skeleton.world @ posed[skeleton.index[name]][0])[:3, :3])
