"""Body surface: how thick a rig's body is around its bones, from its meshes at rest.

The body is a set of capsules round segments that roles carry. The surface in a direction is where
a ray from the segment leaves the meshes. Without meshes it is that of an average person.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import bpy
import numpy as np
from mathutils.bvhtree import BVHTree

from . import rig, roles
from .rest_alignment import RoleRest

_PERSON_LEG = 0.85  # metres, to which the radii belong
_RADII = {
    "hips": 0.14,
    "chest": 0.12,
    "head": 0.10,
    "upper_arm": 0.05,
    "forearm": 0.04,
    "thigh": 0.08,
    "shin": 0.055,
}
_HEAD_HEIGHT = 0.22  # metres above the head's joint, without meshes
_WIDEST = 2.5  # radii, from where a surface belongs to something else


class Segment(NamedTuple):
    """Segment in the rest pose, carried by a role."""

    role: str
    start: np.ndarray  # (3,)
    end: np.ndarray  # (3,)
    radius: float  # of an average person of this size


@dataclass(frozen=True, eq=False)
class Surface:
    """Segments of a body, with its meshes."""

    segments: Mapping[str, Segment]  # by names that rigs share, such as `chest`
    tree: BVHTree | None  # of the meshes at rest in the world

    def radius(self, name: str, share: float, direction: np.ndarray) -> float:
        """Return the distance from a segment to the surface.

        Args:
            name: of the segment.
            share: along the segment, 0…1.
            direction: across it or beyond its ends at rest, (3,), of length one.
        """
        segment = self.segments[name]
        if self.tree is None:
            return segment.radius
        start = segment.start + share * (segment.end - segment.start)
        reach = _WIDEST * segment.radius
        distance = self.tree.ray_cast(start.tolist(), direction.tolist(), reach)[3]
        return segment.radius if distance is None else distance


def read(armature: bpy.types.Object, rest: RoleRest, *, use_meshes: bool) -> Surface:
    """Return the surface of a rig.

    Args:
        armature: object of the rig.
        rest: of its roles.
        use_meshes: False: as thick as an average person of this size.
    """
    tree, top = None, None
    if use_meshes:
        tree, vertices = _tree(armature)
        top = float((vertices @ rest.up).max())
    return Surface(_segments(rest, top), tree)


def has_meshes(armature: bpy.types.Object) -> bool:
    """Return whether an armature deforms meshes with faces."""
    return any(len(mesh.data.polygons) for mesh in rig.meshes_of(armature))


def _segments(rest: RoleRest, top: float | None) -> dict[str, Segment]:
    size = rest.leg_length() / _PERSON_LEG
    up = rest.up
    middle = rest.thigh_middle()
    found = {}

    def add(name: str, role: str, start: np.ndarray, end: np.ndarray) -> None:
        found[name] = Segment(role, start, end, size * _RADII[name.split(".")[0]])

    if "upper_arm.L" in rest.heads and "upper_arm.R" in rest.heads:
        shoulders = (rest.heads["upper_arm.L"] + rest.heads["upper_arm.R"]) / 2
        height = (shoulders - middle) @ up
        add("hips", "hips", middle, middle + 0.4 * height * up)
        spine = [role for role in roles.chain("spine") if role in rest.heads]
        chest = spine[-1] if spine else "hips"
        add("chest", chest, shoulders - 0.6 * height * up, shoulders - 0.1 * height * up)
    if "head" in rest.heads:
        joint = rest.heads["head"]
        height = size * _HEAD_HEIGHT if top is None else top - joint @ up
        add("head", "head", joint + 0.4 * height * up, joint + 0.6 * height * up)
    for side in roles.SIDES:
        for name, after in (
            ("upper_arm", "forearm"),
            ("forearm", "hand"),
            ("thigh", "shin"),
            ("shin", "foot"),
        ):
            role, end = f"{name}.{side}", f"{after}.{side}"
            if role in rest.heads and end in rest.heads:
                add(role, role, rest.heads[role], rest.heads[end])
    return found


def _tree(armature: bpy.types.Object) -> tuple[BVHTree, np.ndarray]:
    """Return the faces of an armature's meshes at rest, and their vertices, in the world."""
    points: list[np.ndarray] = []
    faces: list[list[int]] = []
    for mesh in rig.meshes_of(armature):
        start = sum(len(each) for each in points)
        points.append(rig.rest_vertices(mesh))
        faces += [[start + index for index in face.vertices] for face in mesh.data.polygons]
    vertices = np.concatenate(points)
    return BVHTree.FromPolygons(vertices.tolist(), faces), vertices
