"""Armatures: one bone per joint, at rest where this person's joints are."""

from typing import NamedTuple

import bpy
import numpy as np
from mathutils import Vector

from ..hund_backend.body.skeleton import FACE_JOINTS, JOINT_INDEX, JOINT_NAMES, PARENTS
from .world import Rest

_FORWARD, _UP = Vector((0, -1, 0)), Vector((0, 0, 1))  # of the person, in armature space
_SHORTEST = 0.005  # metres; Blender drops bones without length

# Bones that do not end at their only child's joint: the joint they point at and how far they go.
# The pelvis' child is 2 cm away; the foot's joint lies in the ankle's and carries no skin.
_AIMS = {
    "Pelvis": ("Spine02", 0.5),
    "Spine03": ("Neck01", 1.0),
    **{f"Hand{side}": (f"Middle01{side}", 1.0) for side in "LR"},
    **{f"Ankle{side}": (f"Ball{side}", 1.0) for side in "LR"},
    **{f"Foot{side}": (f"Ball{side}", 0.5) for side in "LR"},
}
# Bones at the ends of the tree: directions in armature space. Fingers go on as they came.
_ENDS = {
    "Head01": (0, 0, 1),
    "Jaw01": (0, -0.75, -0.66),
    **{f"Eye01{side}": (0, -1, 0) for side in "LR"},
    **{f"Eyelidup01{side}": (0, -1, 0.4) for side in "LR"},
    **{f"Eyeliddown01{side}": (0, -1, -0.4) for side in "LR"},
    **{f"Toes01{side}": (0, -1, 0) for side in "LR"},
}
_BEYOND = {"Eye01": 3.0, "Eyelidup01": 2.0, "Eyeliddown01": 2.0}  # so that they can be picked


class Twist(NamedTuple):
    """A bone that shares a limb's twist, so that skin can follow it little by little.

    At the shoulder it takes back half of the upper arm's twist, at the wrist it takes half of the
    hand's.
    """

    name: str
    limb: str  # its parent
    end: str  # the joint at the limb's end
    source: str  # the bone whose twist it shares
    is_inverted: bool  # True: it lies at the limb's start and turns back


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
    name: str, rest: Rest, skinning_weights: np.ndarray, workshop: bpy.types.Scene
) -> bpy.types.Object:
    """Make an armature for a person.

    Rest bones fit the build of `rest`. A shape key that changes the build later moves the skin
    only: bones have no shape keys.

    Args:
        name: of the object and its data.
        rest: the person at rest.
        skinning_weights: (vertices, joints); the skin says how far the last bones reach.
        workshop: a scene to work in. Bones can only be made in edit mode, and a scene of our own
            leaves the user's mode, selection and active object alone.
    """
    armature = bpy.data.objects.new(name, bpy.data.armatures.new(name))
    workshop.collection.objects.link(armature)
    view_layer = workshop.view_layers[0]
    view_layer.objects.active = armature
    with bpy.context.temp_override(
        scene=workshop, view_layer=view_layer, object=armature, active_object=armature
    ):
        bpy.ops.object.mode_set(mode="EDIT")
        _add_bones(armature.data, rest, skinning_weights)
        bpy.ops.object.mode_set(mode="OBJECT")
    workshop.collection.objects.unlink(armature)
    armature.show_in_front = True
    armature.data.display_type = "STICK"  # octahedra would hide the person
    for bone in armature.pose.bones:
        bone.rotation_mode = "QUATERNION"
        bone.lock_scale = (True, True, True)
        bone.lock_location = (bone.parent is not None,) * 3
    _drive_twists(armature)
    _sort_bones(armature.data)
    return armature


def bone_frames(armature: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """Axes (joints, 3, 3) as columns and heads (joints, 3) of the joints' bones at rest."""
    matrices = np.array([armature.data.bones[name].matrix_local for name in JOINT_NAMES])
    return matrices[:, :3, :3], matrices[:, :3, 3]


def _add_bones(data: bpy.types.Armature, rest: Rest, skinning_weights: np.ndarray) -> None:
    heads = [Vector(head) for head in rest.joints]
    tails = _tails(rest, skinning_weights)
    for joint, name in enumerate(JOINT_NAMES):
        bone = data.edit_bones.new(name)
        bone.head, bone.tail = heads[joint], tails[joint]
        bone.align_roll(_roll_axis(name, bone.vector.normalized(), rest))
        if PARENTS[joint] >= 0:
            bone.parent = data.edit_bones[JOINT_NAMES[PARENTS[joint]]]
            bone.use_connect = bone.parent.tail == bone.head
    for twist in TWISTS:
        limb = data.edit_bones[twist.limb]
        middle = (limb.head + limb.tail) / 2
        bone = data.edit_bones.new(twist.name)
        bone.head, bone.tail = (limb.head, middle) if twist.is_inverted else (middle, limb.tail)
        bone.roll, bone.parent = limb.roll, limb


def _tails(rest: Rest, skinning_weights: np.ndarray) -> list[Vector]:
    """Where bones end: at the next joint, or where the skin of the last one ends."""
    tails: list[Vector] = []
    for joint, name in enumerate(JOINT_NAMES):
        head = Vector(rest.joints[joint])
        children = [child for child, parent in enumerate(PARENTS) if parent == joint]
        if name in _AIMS:
            aim, share = _AIMS[name]
            tails.append(head.lerp(Vector(rest.joints[JOINT_INDEX[aim]]), share))
        elif len(children) == 1:
            tails.append(Vector(rest.joints[children[0]]))
        else:
            before = head - Vector(rest.joints[PARENTS[joint]])
            direction = Vector(_ENDS.get(name, before)).normalized()
            skin = rest.vertices[skinning_weights[:, joint] > 0.5]
            reach = ((skin - rest.joints[joint]) @ np.array(direction)).max(initial=_SHORTEST)
            tails.append(head + direction * float(reach) * _BEYOND.get(name[:-1], 1.0))
    return tails


def _roll_axis(name: str, along: Vector, rest: Rest) -> Vector:
    """Where a bone's z axis points: elbows, knees, knuckles and thumbs then bend about x."""
    if name.startswith(("Hand", "Index", "Middle", "Ring", "Pinky")):
        side = name[-1]
        index, pinky = (rest.joints[JOINT_INDEX[f"{n}01{side}"]] for n in ("Index", "Pinky"))
        back_of_hand = Vector(index - pinky).cross(along)
        return back_of_hand if side == "L" else -back_of_hand
    if name.startswith("Clavicle") or abs(along.dot(_FORWARD)) > 0.7:
        return _UP
    return _FORWARD


def _drive_twists(armature: bpy.types.Object) -> None:
    for twist in TWISTS:
        bone = armature.pose.bones[twist.name]
        bone.lock_rotation = (True, True, True)
        bone.lock_rotation_w = True
        copy = bone.constraints.new("COPY_ROTATION")
        copy.name = "Half the twist"
        copy.target, copy.subtarget = armature, twist.source
        copy.use_x = copy.use_z = False
        copy.invert_y = twist.is_inverted
        copy.euler_order = "YZX"  # twist comes first, and flexion, about x, may pass 90°
        copy.owner_space, copy.target_space = "LOCAL", "LOCAL_OWNER_ORIENT"
        copy.influence = 0.5


def _sort_bones(data: bpy.types.Armature) -> None:
    """Bone collections: what an animator shows and hides together."""
    body, hands, face, twist = (
        data.collections.new(name) for name in ("Body", "Hands", "Face", "Twist")
    )
    twists = {twist.name for twist in TWISTS}
    faces = {JOINT_NAMES[joint] for joint in FACE_JOINTS}
    fingers = ("Index", "Middle", "Ring", "Pinky", "Thumb")
    for bone in data.bones:
        if bone.name in twists:
            twist.assign(bone)
            bone.use_deform = False
        elif bone.name in faces:
            face.assign(bone)
        else:
            (hands if bone.name.startswith(fingers) else body).assign(bone)
    twist.is_visible = False
