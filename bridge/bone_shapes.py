"""Bone shapes: wires around a person's skin by which bones are shown, distinguished and selected.

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
_FINGER_MARGIN = 0.003
_SLAB = 0.02  # metres; a ring surrounds the skin within this distance of its plane
_MIN_SLAB = 16  # vertices that a ring surrounds at least
_WIRE_WIDTH = 2.0  # pixels
_EYE_DISTANCE, _EYE_RADIUS = 0.12, 0.012  # metres, of the targets in front of the eyes

# Axes of shapes in armature space, as columns.
_UPRIGHT = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # y up, z to the person's front
_LEVEL = np.array([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]])  # y to the person's front, z up

_TRUNK = ("Pelvis", "Spine01", "Spine02", "Spine03")
_FOOT = ("Ankle", "Foot", "Ball", "Toes01")


class _Rule(NamedTuple):
    """Shape of a bone, and the skin that it surrounds."""

    shape: str
    skin: tuple[str, ...] = ()  # joints that move it, without their side; empty: the bone's own
    at: float = 0.5  # position of a ring as a fraction of the bone
    axes: np.ndarray | None = None  # of the shape, in armature space; None: the bone's


_RULES = {  # by the joint's name without its side
    "Pelvis": _Rule("Hips", ("Pelvis", "Thigh", "Spine01"), at=0.0, axes=_UPRIGHT),
    "Spine01": _Rule("Ring", _TRUNK, axes=_UPRIGHT),
    "Spine02": _Rule("Ring", _TRUNK, axes=_UPRIGHT),
    "Spine03": _Rule("Ring", _TRUNK, axes=_UPRIGHT),
    "Neck01": _Rule("Ring", at=0.2),
    "Head01": _Rule("Box"),
    "Jaw01": _Rule("Arc"),
    "Eye01": _Rule("Target"),
    "Eyelidup01": _Rule("Arc"),
    "Eyeliddown01": _Rule("Arc"),
    "Clavicle": _Rule("Arch", ("Clavicle", "Spine03", "Upperarm")),
    "Upperarm": _Rule("Ring"),
    "Lowerarm": _Rule("Ring"),
    "Hand": _Rule("Box"),
    "Thigh": _Rule("Ring"),
    "Calf": _Rule("Ring"),
    "Ankle": _Rule("Sole", _FOOT, axes=_LEVEL),
    "Foot": _Rule("Ring", _FOOT),
    "Ball": _Rule("Ring", _FOOT),
    "Toes01": _Rule("Arc", axes=_LEVEL),
    **{
        f"{finger}0{phalanx}": _Rule("Capsule")
        for finger in ("Index", "Middle", "Ring", "Pinky", "Thumb")
        for phalanx in (1, 2, 3)
    },
    **{twist.name[:-1]: _Rule("Ring", (twist.limb[:-1],)) for twist in TWISTS},
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
        side = bone_names.side(name)
        rule = _RULES[name.removesuffix(side)]
        skin = rest.vertices[np.isin(strongest_joint, _joints(rule, name, side))]
        matrix = np.array(bone.matrix_local)
        bone_from_armature = matrix[:3, :3].T
        bone_from_shape = np.eye(3) if rule.axes is None else bone_from_armature @ rule.axes
        points = (skin - matrix[:3, 3]) @ bone_from_armature.T @ bone_from_shape
        scale, tail = rest.units_per_meter, bone.length * bone_from_shape[1]
        center, size = (scale * each for each in _fit(rule, points / scale, tail / scale))
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


def _fit(rule: _Rule, points: np.ndarray, tail: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return center and half extents of a shape, metres.

    Args:
        rule: of the bone.
        points: (vertices, 3), the skin in the shape's axes from the bone's head.
        tail: of the bone, likewise, (3,).
    """
    low, high = points.min(axis=0), points.max(axis=0)
    length = tail[1]
    if rule.shape == "Target":
        return np.array([0, _EYE_DISTANCE, 0]), np.full(3, _EYE_RADIUS)
    if rule.shape == "Arc":
        middle, width = (low + high)[0] / 2, (high - low)[0] / 2
        return np.array([middle, 0, 0]), np.array([width, high[1], 0]) + _MARGIN
    if rule.shape == "Arch":
        top = points[(points[:, 1] > 0) & (points[:, 1] < length), 2].max()
        return np.array([0, 0.6 * length, 0]), np.array([0.02, 0.4 * length, top + 2 * _MARGIN])
    if rule.shape == "Capsule":
        radius = (high - low)[0] / 2 + _FINGER_MARGIN
        return np.array([(low + high)[0] / 2, length / 2, 0]), np.array(
            [radius, length / 2, radius]
        )
    if rule.shape == "Sole":
        center = (low + high) / 2
        return np.array([*center[:2], low[2]]), (high - low) / 2 + 2 * _MARGIN
    if rule.shape == "Box":
        return (low + high) / 2, (high - low) / 2 + _MARGIN
    height = rule.at * length
    distances = np.abs(points[:, 1] - height)
    count = max(_MIN_SLAB, int((distances < _SLAB).sum()))
    slab = points[np.argsort(distances)[:count]][:, [0, 2]]
    low, high = slab.min(axis=0), slab.max(axis=0)
    center, half = (low + high) / 2, (high - low) / 2
    radii = half * np.linalg.norm((slab - center) / half, axis=1).max() + _MARGIN
    return np.array([center[0], height, center[1]]), np.array([radii[0], radii.mean(), radii[1]])


def _lines() -> dict[str, list[np.ndarray]]:
    """Return each shape's lines, (points, 3) in units of its half extents, y along the bone."""
    ring, half_ring = _arc(0, 360, 48), _arc(0, 180, 17)
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)])
    cap = half_ring * (1, 0.35) + (0, 0.65)
    capsule = np.concatenate((cap, -cap, cap[:1]))
    long_cap = half_ring * (1, 0.5) + (0, 0.5)
    sole = np.concatenate((long_cap, -long_cap, long_cap[:1]))
    arrow = np.array([(-0.15, 1.08), (0, 1.35), (0.15, 1.08), (-0.15, 1.08)])
    turns = [np.array(((c, s), (-s, c))) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))]
    cross = np.array([(-1.4, 0), (1.4, 0)])
    return {
        "Ring": [_in_plane(ring, "xz")],
        "Hips": [_in_plane(line, "xz") for line in (ring, *(arrow @ turn for turn in turns))],
        "Target": [_in_plane(line, "xz") for line in (ring, cross, cross[:, ::-1])],
        "Box": [
            *(_in_plane(square, "xz", at=y) for y in (-1, 1)),
            *(np.array([(x, -1, z), (x, 1, z)]) for x, z in square[:4]),
        ],
        "Capsule": [_in_plane(capsule, "xy")],
        "Sole": [_in_plane(sole, "xy")],
        "Arc": [_in_plane(half_ring, "xy")],
        "Arch": [
            *(_in_plane(half_ring, "yz", at=x) for x in (-1, 1)),
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
