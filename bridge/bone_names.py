"""Bone names: Blender's, whose suffix tells the side, and GHUM's, which stand in the files.

Blender's tools for symmetry (*Paste Pose Flipped*, *Select Mirror*, *X-Mirror*, *Symmetrize*) find
the partner of `Hand.L` by its name, but not that of GHUM's `HandL`.
"""

import re

import bpy

from ..hund_backend.body.skeleton import JOINT_INDEX, JOINT_NAMES

GHUM_NAME = "ghum_name"  # custom property of a bone; twist bones, which GHUM lacks, have one, too
_GHUM_SIDE = re.compile(r"(?<=[a-z0-9])(?=[LR]$)")
_BLENDER_SIDE = re.compile(r"\.(?=[LR]$)")


def to_blender(name: str) -> str:
    """Convert a bone's name from GHUM's style, as in `HandL`, to Blender's, as in `Hand.L`."""
    return _GHUM_SIDE.sub(".", name)


def to_ghum(name: str) -> str:
    """Convert a bone's name from Blender's style, as in `Hand.L`, to GHUM's, as in `HandL`."""
    return _BLENDER_SIDE.sub("", name)


def side(name: str) -> str:
    """Return the side of a name in GHUM's style: L, R, or nothing for a bone in the middle."""
    return name[-1] if _GHUM_SIDE.search(name) else ""


def find_bones(armature: bpy.types.Object) -> dict[str, bpy.types.Bone]:
    """Return an armature's bones by their names in GHUM's style.

    A bone is found by its custom property, so that it may be renamed. Of several bones with the
    same property (copies have it, too, and a bone made by *Symmetrize* has its partner's) the one
    with the original name is taken. The name alone finds those that remain.
    """
    bones: dict[str, bpy.types.Bone] = {}
    for bone in armature.data.bones:
        name = bone.get(GHUM_NAME)
        if isinstance(name, str) and (name not in bones or bone.name == to_blender(name)):
            bones[name] = bone
    for bone in armature.data.bones:
        if GHUM_NAME in bone or to_ghum(bone.name) in JOINT_INDEX:
            bones.setdefault(to_ghum(bone.name), bone)
    return bones


def joint_bone_names(armature: bpy.types.Object) -> list[str] | None:
    """Return the current names of the joints' bones, or None if one of them is missing."""
    bones = find_bones(armature)
    if not all(joint in bones for joint in JOINT_NAMES):
        return None
    return [bones[joint].name for joint in JOINT_NAMES]
