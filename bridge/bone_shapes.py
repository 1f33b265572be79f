"""Bone shapes: wires around a person's skin by which bones are seen, told apart and selected.

They are objects without faces that all people of a result share. No scene contains them, so that
they are neither rendered nor exported.
"""

from collections.abc import Mapping
from typing import NamedTuple

import bpy
import numpy as np
from mathutils import Matrix

from ..hund_backend.body.skeleton import JOINT_INDEX
from . import bone_names
from .armature import TWISTS
from .world import RestPose

_MARGIN = 0.008  # metres between the skin and a wire
_SLAB = 0.02  # metres; a ring surrounds the skin within this distance of its plane
_WIRE_WIDTH = 2.0  # pixels
_EYE_DISTANCE = 0.12  # metres, of the circles in front of the eyes

_TARGET_RADIUS = 0.012  # metres
_MIN_SLICE = 16  # vertices that a ring surrounds at least
# Axes of upright shapes in armature space, as columns: x to the left, y up, z to the front.
_UPRIGHT = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])

_TRUNK = ("Pelvis", "Spine01", "Spine02", "Spine03")


class _Rule(NamedTuple):
    """Shape of a bone, and the skin that it surrounds."""

    shape: str
    skin: tuple[str, ...] = ()  # joints that move it, without their side; empty: the bone's own
    at: float | None = None  # position of a flat shape as a fraction of the bone
    is_upright: bool = False  # along the armature's axes instead of the bone's


_RULES = {  # by the joint's name without its side
    "Pelvis": _Rule("Hips", ("Pelvis", "Thigh", "Spine01"), at=0.0, is_upright=True),
    "Spine01": _Rule("Ring", _TRUNK, at=0.5),
    "Spine02": _Rule("Ring", _TRUNK, at=0.5),
    "Spine03": _Rule("Ring", _TRUNK, at=0.45),
    "Neck01": _Rule("Ring", at=0.5),
    "Head01": _Rule("Box"),
    "Jaw01": _Rule("Arc"),
    "Eye01": _Rule("Target"),
    "Eyelidup01": _Rule("Arc"),
    "Eyeliddown01": _Rule("Arc"),
    "Clavicle": _Rule("Arch", ("Clavicle", "Spine03", "Upperarm")),
    "Upperarm": _Rule("Ring", at=0.5),
    "Lowerarm": _Rule("Ring", at=0.5),
    "Hand": _Rule("Box"),
    "Thigh": _Rule("Ring", at=0.5),
    "Calf": _Rule("Ring", at=0.5),
    "Ankle": _Rule("Box", ("Ankle", "Foot"), is_upright=True),
    "Foot": _Rule("Ring", ("Ankle", "Foot"), at=0.5),
    "Ball": _Rule("Ring", ("Ball", "Toes01"), at=0.5),
    "Toes01": _Rule("Box", is_upright=True),
    **{
        f"{finger}0{phalanx}": _Rule("Capsule")
        for finger in ("Index", "Middle", "Ring", "Pinky", "Thumb")
        for phalanx in (1, 2, 3)
    },
    **{twist.name[:-1]: _Rule("Ring", (twist.limb[:-1],), at=0.5) for twist in TWISTS},
}


def create(name: str) -> dict[str, bpy.types.Object]:
    """Make the shapes, outside of all scenes.

    Args:
        name: of the result; the objects' names begin with it.
    """
    shapes = {}
    for shape, lines in _lines().items():
        mesh = bpy.data.meshes.new(f"{name} Shape {shape}")
        starts = np.cumsum([0, *(len(line) for line in lines)])
        edges = [
            (i + k, i + k + 1)
            for i, line in zip(starts[:-1], lines, strict=True)
            for k in range(len(line) - 1)
        ]
        mesh.from_pydata(np.concatenate(lines).tolist(), edges, [])
        shapes[shape] = bpy.data.objects.new(mesh.name, mesh)
    return shapes


def assign(
    armature: bpy.types.Object,
    shapes: Mapping[str, bpy.types.Object],
    rest: RestPose,
    skinning_weights: np.ndarray,
) -> None:
    """Give each bone its shape, fitted to the person's skin.

    Args:
        armature: made for the person.
        shapes: see `create`.
        rest: rest pose of the person.
        skinning_weights: (vertices, joints).
    """
    strongest_joint = skinning_weights.argmax(axis=1)
    for name, bone in bone_names.find_bones(armature).items():
        side = name[-1] if name[-1] in "LR" else ""
        rule = _RULES[name.removesuffix(side)]
        skin = rest.vertices[np.isin(strongest_joint, _joints(rule, name, side))]
        matrix = np.array(bone.matrix_local)
        bone_from_armature = matrix[:3, :3].T
        bone_from_shape = bone_from_armature @ _UPRIGHT if rule.is_upright else np.eye(3)
        points = (skin - matrix[:3, 3]) @ bone_from_armature.T @ bone_from_shape
        scale = rest.units_per_meter
        center, size = (scale * each for each in _fit(rule, points / scale, bone.length / scale))
        posed = armature.pose.bones[bone.name]
        posed.custom_shape = shapes[rule.shape]
        posed.use_custom_shape_bone_size = False
        posed.custom_shape_translation = bone_from_shape @ center
        posed.custom_shape_rotation_euler = Matrix(bone_from_shape).to_euler()
        posed.custom_shape_scale_xyz = size
        posed.custom_shape_wire_width = _WIRE_WIDTH


def _joints(rule: _Rule, name: str, side: str) -> list[int]:
    """Return the joints whose skin a bone's shape surrounds; of a central bone, those of both sides."""
    if not rule.skin:
        return [JOINT_INDEX[name]]
    names = (f"{joint}{end}" for joint in rule.skin for end in ("", *(side or "LR")))
    return [JOINT_INDEX[joint] for joint in names if joint in JOINT_INDEX]


def _fit(rule: _Rule, points: np.ndarray, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Return center and half extents of a shape, metres.

    Args:
        rule: of the bone.
        points: (vertices, 3), the skin in the shape's axes from the bone's head.
        length: of the bone.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    if rule.shape == "Target":
        return np.array([0, _EYE_DISTANCE, 0]), np.full(3, _TARGET_RADIUS)
    if rule.shape == "Arc":
        return np.zeros(3), np.array([high[0] + _MARGIN, high[1] + _MARGIN, 1])
    if rule.shape == "Arch":
        above = points[(points[:, 1] > 0) & (points[:, 1] < length)]
        return np.array([0, length / 2, 0]), np.array(
            [0.02, length / 2, above[:, 2].max() + _MARGIN]
        )
    if rule.at is None:
        return (low + high) / 2, (high - low) / 2 + _MARGIN
    height = rule.at * length
    slice_ = points[np.argsort(np.abs(points[:, 1] - height))][:, [0, 2]]
    count = max(_MIN_SLICE, int((np.abs(points[:, 1] - height) < _SLAB).sum()))
    slice_ = slice_[:count]
    low, high = slice_.min(axis=0), slice_.max(axis=0)
    center, half = (low + high) / 2, (high - low) / 2
    radii = half * np.linalg.norm((slice_ - center) / half, axis=1).max() + _MARGIN
    return np.array([center[0], height, center[1]]), np.array([radii[0], radii.mean(), radii[1]])


def _lines() -> dict[str, list[np.ndarray]]:
    """Return each shape's lines, (points, 3) in units of its half extents, y along the bone."""
    ring = _arc(0, 360, 48)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)])
    capsule = np.concatenate(
        (
            _arc(0, 180, 13) * (1, 0.35) + (0, 0.65),
            _arc(180, 360, 13) * (1, 0.35) - (0, 0.65),
            [(1, 0.65)],
        )
    )
    arrow = np.array([(-0.12, 1.1), (0, 1.3), (0.12, 1.1), (-0.12, 1.1)])
    quarter_turns = [
        np.array(turn)
        for turn in ([(1, 0), (0, 1)], [(0, 1), (-1, 0)], [(-1, 0), (0, -1)], [(0, -1), (1, 0)])
    ]
    cross = np.array([(-1.4, 0), (1.4, 0)])
    arch = _arc(0, 180, 17)
    return {
        "Ring": [_in_plane(ring, "xz")],
        "Hips": [
            _in_plane(ring, "xz"),
            *(_in_plane(arrow @ turn, "xz") for turn in quarter_turns),
        ],
        "Target": [_in_plane(ring, "xz"), _in_plane(cross, "xz"), _in_plane(cross[:, ::-1], "xz")],
        "Box": [
            *(_in_plane(corners, "xz", at=y) for y in (-1, 1)),
            *(np.array([(x, -1, z), (x, 1, z)]) for x, z in corners[:4]),
        ],
        "Capsule": [_in_plane(capsule, "xy"), _in_plane(capsule, "zy")],
        "Arc": [_in_plane(_arc(0, 180, 17), "xy")],
        "Arch": [
            *(_in_plane(arch, "yz", at=x) for x in (-1, 1)),
            *(np.array([(-1, y, 0), (1, y, 0)]) for y in (-1, 1)),
        ],
    }


def _arc(start: float, end: float, count: int) -> np.ndarray:
    """Return points on the unit circle from one angle to another, in degrees, (count, 2)."""
    angles = np.radians(np.linspace(start, end, count))
    return np.stack((np.cos(angles), np.sin(angles)), axis=1)


def _in_plane(points: np.ndarray, axes: str, at: float = 0.0) -> np.ndarray:
    """Return points (points, 2) of a plane in space, (points, 3)."""
    placed = np.full((len(points), 3), float(at))
    placed[:, ["xyz".index(axis) for axis in axes]] = points
    return placed
