"""Armatures: one bone per joint, at rest at the person's rest joints."""

from collections.abc import Mapping
from typing import NamedTuple

import bpy
import numpy as np
from mathutils import Vector

from ..hund_backend.body.skeleton import (
    BODY_JOINTS,
    FACE_JOINTS,
    JOINT_INDEX,
    JOINT_NAMES,
    LEFT_HAND_JOINTS,
    PARENTS,
    RIGHT_HAND_JOINTS,
)
from . import bone_names
from .world import RestPose

_FORWARD, _UP = Vector((0, -1, 0)), Vector((0, 0, 1))  # of the person, in armature space
_MIN_LENGTH = 0.005  # metres; Blender removes bones without length
# Colors of the sides as in most rigs, blue, red and yellow: not selected, selected, active. Those
# of Blender's default theme are too dark over footage.
_SIDE_COLORS = {
    "L": ((0.15, 0.45, 1.0), (0.5, 0.75, 1.0), (0.8, 0.92, 1.0)),
    "R": ((1.0, 0.15, 0.12), (1.0, 0.5, 0.45), (1.0, 0.85, 0.8)),
    "": ((1.0, 0.75, 0.05), (1.0, 0.9, 0.45), (1.0, 1.0, 0.8)),
}

# Bones with several children: target joint, and length as a fraction of the distance to it. The
# pelvis points at the second joint of the spine, which lies almost straight above.
_TAIL_TARGETS = {
    "Pelvis": ("Spine02", 0.5),
    "Spine03": ("Neck01", 1.0),
    **{f"Hand{side}": (f"Middle01{side}", 1.0) for side in "LR"},
}
# Directions of leaf bones in armature space; fingers continue in their parent's direction.
_LEAF_DIRECTIONS = {
    "Head01": (0, 0, 1),
    "Jaw01": (0, -0.75, -0.66),
    **{f"Eye01{side}": (0, -1, 0) for side in "LR"},
    **{f"Eyelidup01{side}": (0, -1, 0.4) for side in "LR"},
    **{f"Eyeliddown01{side}": (0, -1, -0.4) for side in "LR"},
    **{f"Toes01{side}": (0, -1, 0) for side in "LR"},
}
# Bones drawn longer than their skin, so that they can be selected.
_LENGTH_FACTORS = {"Eye01": 3.0, "Eyelidup01": 2.0, "Eyeliddown01": 2.0}


class Twist(NamedTuple):
    """Twist bone: distributes a limb's twist along its skin.

    At the shoulder it cancels half of the upper arm's twist, at the wrist it copies half of the
    hand's.
    """

    name: str  # in GHUM's style, as all names here; GHUM has no twist bones
    limb: str  # its parent
    end: str  # the joint at the limb's end
    source: str  # the bone whose twist it copies
    is_inverted: bool  # True: it is at the limb's start and rotates in the opposite direction


TWISTS = tuple(
    twist
    for side in "LR"
    for twist in (
        Twist(
            f"UpperarmTwist{side}", f"Upperarm{side}", f"Lowerarm{side}", f"Upperarm{side}", True
        ),
        Twist(f"LowerarmTwist{side}", f"Lowerarm{side}", f"Hand{side}", f"Hand{side}", False),
    )
)


def create(
    name: str, rest: RestPose, skinning_weights: np.ndarray, edit_scene: bpy.types.Scene
) -> bpy.types.Object:
    """Make an armature for a person.

    The rest bones fit the body shape of `rest`. A later change of a shape key moves only the skin:
    bones have no shape keys.

    Args:
        name: of the object and its data.
        rest: rest pose of the person.
        skinning_weights: (vertices, joints); the skin determines the length of leaf bones.
        edit_scene: a temporary scene. Bones can only be made in edit mode, and a separate scene
            keeps the user's mode, selection and active object.
    """
    armature = bpy.data.objects.new(name, bpy.data.armatures.new(name))
    edit_scene.collection.objects.link(armature)
    view_layer = edit_scene.view_layers[0]
    view_layer.objects.active = armature
    with bpy.context.temp_override(
        scene=edit_scene, view_layer=view_layer, object=armature, active_object=armature
    ):
        bpy.ops.object.mode_set(mode="EDIT")
        _add_bones(armature.data, rest, skinning_weights)
        bpy.ops.object.mode_set(mode="OBJECT")
    edit_scene.collection.objects.unlink(armature)
    armature.show_in_front = True
    armature.data.display_type = "STICK"  # octahedra would cover the person
    for bone in armature.pose.bones:
        bone.rotation_mode = "QUATERNION"
        bone.lock_scale = (True, True, True)
        # Connected bones cannot be moved anyway; locked, Auto IK could not drag hands and feet.
        bone.lock_location = (bone.parent is not None and not bone.bone.use_connect,) * 3
    for twist in TWISTS:
        drive_twist(armature, twist)
    bones = bone_names.find_bones(armature)
    _assign_bone_collections(armature.data, bones)
    _color_sides(bones)
    return armature


def bone_heads(armature: bpy.types.Object) -> np.ndarray:
    """Return the heads (joints, 3) of the joints' rest bones.

    Raises:
        KeyError: a joint's bone is missing.
    """
    bones = bone_names.find_bones(armature)
    return np.array([bones[name].head_local for name in JOINT_NAMES])


def _add_bones(data: bpy.types.Armature, rest: RestPose, skinning_weights: np.ndarray) -> None:
    heads = [Vector(head) for head in rest.joints]
    tails = _tails(rest, skinning_weights)
    bones: dict[str, bpy.types.EditBone] = {}
    for joint, name in enumerate(JOINT_NAMES):
        bone = bones[name] = _add_bone(data, name)
        bone.head, bone.tail = heads[joint], tails[joint]
        bone.align_roll(_roll_axis(name, bone.vector.normalized(), rest))
        if PARENTS[joint] >= 0:
            bone.parent = bones[JOINT_NAMES[PARENTS[joint]]]
            bone.use_connect = bone.parent.tail == bone.head
    for twist in TWISTS:
        limb = bones[twist.limb]
        middle = (limb.head + limb.tail) / 2
        bone = _add_bone(data, twist.name)
        bone.head, bone.tail = (limb.head, middle) if twist.is_inverted else (middle, limb.tail)
        bone.roll, bone.parent = limb.roll, limb


def _add_bone(data: bpy.types.Armature, name: str) -> bpy.types.EditBone:
    bone = data.edit_bones.new(bone_names.to_blender(name))
    bone[bone_names.GHUM_NAME] = name
    return bone


def _tails(rest: RestPose, skinning_weights: np.ndarray) -> list[Vector]:
    """Return the tails of the bones: the next joint, or the end of a leaf bone's skin."""
    tails: list[Vector] = []
    for joint, name in enumerate(JOINT_NAMES):
        head = Vector(rest.joints[joint])
        children = [child for child, parent in enumerate(PARENTS) if parent == joint]
        if name in _TAIL_TARGETS:
            target, fraction = _TAIL_TARGETS[name]
            tails.append(head.lerp(Vector(rest.joints[JOINT_INDEX[target]]), fraction))
        elif len(children) == 1:
            tails.append(Vector(rest.joints[children[0]]))
        else:
            from_parent = head - Vector(rest.joints[PARENTS[joint]])
            direction = Vector(_LEAF_DIRECTIONS.get(name, from_parent)).normalized()
            skin = rest.vertices[skinning_weights[:, joint] > 0.5]
            shortest = _MIN_LENGTH * rest.units_per_meter
            length = ((skin - rest.joints[joint]) @ np.array(direction)).max(initial=shortest)
            tails.append(head + direction * float(length) * _LENGTH_FACTORS.get(name[:-1], 1.0))
    return tails


def _roll_axis(name: str, direction: Vector, rest: RestPose) -> Vector:
    """Return the direction of a bone's z axis, so that elbows, knees and fingers bend about x."""
    if name.startswith(("Hand", "Index", "Middle", "Ring", "Pinky")):
        side = name[-1]
        index, pinky = (rest.joints[JOINT_INDEX[f"{n}01{side}"]] for n in ("Index", "Pinky"))
        back_of_hand = Vector(index - pinky).cross(direction)
        return back_of_hand if side == "L" else -back_of_hand
    if name.startswith("Clavicle") or abs(direction.dot(_FORWARD)) > 0.7:
        return _UP
    return _FORWARD


def drive_twist(armature: bpy.types.Object, twist: Twist) -> None:
    """Let a twist bone rotate by half of its source's twist.

    Args:
        armature: in the A-rest; its bones have their first names.
        twist: the bone.
    """
    bone = armature.pose.bones[bone_names.to_blender(twist.name)]
    bone.lock_rotation = (True, True, True)
    bone.lock_rotation_w = True
    copy = bone.constraints.new("COPY_ROTATION")
    copy.name = "Half the twist"
    copy.target, copy.subtarget = armature, bone_names.to_blender(twist.source)
    copy.use_x = copy.use_z = False
    copy.invert_y = twist.is_inverted
    copy.euler_order = "YZX"  # twist comes first, and flexion, about x, may pass 90°
    copy.owner_space, copy.target_space = "LOCAL", "LOCAL_OWNER_ORIENT"
    copy.influence = 0.5


def _assign_bone_collections(
    data: bpy.types.Armature, bones: Mapping[str, bpy.types.Bone]
) -> None:
    """Assign bones to collections that are shown and hidden together.

    The body is shown. Fingers and face, which are not animated yet, and twist bones are hidden.
    """
    body, hands, face, twist = (
        data.collections.new(name) for name in ("Body", "Hands", "Face", "Twist")
    )
    left, right = (
        data.collections.new(f"{side} Hand", parent=hands) for side in ("Left", "Right")
    )
    hands.is_visible = face.is_visible = twist.is_visible = False
    joints = {
        body: BODY_JOINTS,
        left: LEFT_HAND_JOINTS,
        right: RIGHT_HAND_JOINTS,
        face: FACE_JOINTS,
    }
    for collection, indices in joints.items():
        for joint in indices:
            collection.assign(bones[JOINT_NAMES[joint]])
    for entry in TWISTS:
        twist.assign(bones[entry.name])
        bones[entry.name].use_deform = False


def _color_sides(bones: Mapping[str, bpy.types.Bone]) -> None:
    for name, bone in bones.items():
        bone.color.palette = "CUSTOM"
        custom = bone.color.custom
        custom.normal, custom.select, custom.active = _SIDE_COLORS[bone_names.side(name)]
