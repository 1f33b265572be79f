"""Selection of bones: of one that the animator should look at."""

import bpy

from . import bone_names


def activate_joint(armature: bpy.types.Object, joint: str) -> None:
    """Select one bone of an armature alone and make it the active one.

    Args:
        armature: of a person.
        joint: in GHUM's style.
    """
    bone = bone_names.find_bones(armature).get(joint)
    if bone is not None:
        activate_bone(armature, bone.name)


def activate_bone(armature: bpy.types.Object, name: str) -> None:
    """Select one bone of an armature alone, by its name, and make it the active one."""
    for other in armature.pose.bones:
        # Since Blender 5 the selection is the pose bone's.
        holder = other if hasattr(other, "select") else other.bone
        holder.select = other.name == name
    armature.data.bones.active = armature.data.bones[name]
