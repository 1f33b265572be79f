"""Rest poses: A, T or I, as the rest of our armatures' bones.

The skin is bound in the A-pose, which is the body model's. Linear blend skinning gives another
surface from another bind pose (by up to 25 mm in the armpits of a walk, see `docs/log/blender.md`).
In a T or I rest, therefore, the bones that the animator poses rest there, and a hidden armature,
the *bind armature*, still rests in the A-pose, copies them and moves the skin. Poses, skin and
shape keys are the same in every frame whatever the rest.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import bpy
import numpy as np
from bpy.app.translations import pgettext_rpt as rpt_
from mathutils import Matrix, Quaternion, Vector

from ..hund_backend.body.skeleton import JOINT_NAMES, PARENTS
from ..hund_backend.errors import BadInputError
from . import bone_names, quaternions, texts
from .armature import TWISTS, drive_twist

RESTS = ("A", "T", "I")  # arms 45° below the horizontal; horizontal; straight down
_REST = "hund_rest"  # custom property of an armature's data, one of `RESTS`
_OFFSET = "hund_rest_offset"  # of a bone: its rotation from the A-rest, in its own axes
_MOVED = ("Upperarm", "Hand", "Thigh", "Ankle")  # bones of a side that the rests depend on
_DOWN = (0.0, 0.0, -1.0)
_ARMS = {"T": {"L": (1.0, 0.0, 0.0), "R": (-1.0, 0.0, 0.0)}, "I": {"L": _DOWN, "R": _DOWN}}


def rest_of(armature: bpy.types.Object) -> str:
    """Return the rest pose of an armature of ours, one of `RESTS`."""
    rest = armature.data.get(_REST)
    return rest if rest in RESTS else "A"


def bind_armature(armature: bpy.types.Object) -> bpy.types.Object:
    """Return the armature that moves a person's skin: itself in the A-rest."""
    for child in armature.children if rest_of(armature) != "A" else ():
        for modifier in child.modifiers if child.type == "MESH" else ():
            if modifier.type == "ARMATURE" and modifier.object in set(armature.children):
                return modifier.object
    return armature


def displacements(armature: bpy.types.Object, rest: str) -> dict[str, Matrix]:
    """Return what moves each bone from the A-rest to another rest, in armature space.

    Arms become straight in the rest's direction, legs vertical; feet keep their direction and
    soles their height. Bones that others have added follow their parents.

    Args:
        armature: in the A-rest.
        rest: one of `RESTS`.

    Raises:
        BadInputError: bones of arms or legs are missing.
    """
    if rest == "A":
        return {bone.name: Matrix.Identity(4) for bone in armature.data.bones}
    bones = bone_names.find_bones(armature)
    needed = [f"{name}{side}" for side in "LR" for name in _MOVED]
    if missing := [name for name in needed if name not in bones]:
        text = "{name} lacks the bone {bone}: choose the A-pose."
        text = texts.fill(rpt_(text), name=armature.name, bone=bone_names.to_blender(missing[0]))
        raise BadInputError(text)
    turns: dict[str, Quaternion] = {}  # of bones in armature space, relative to their parents
    for side in "LR":
        arm = _turn(bones, f"Upperarm{side}", f"Hand{side}", _ARMS[rest][side])
        leg = _turn(bones, f"Thigh{side}", f"Ankle{side}", _DOWN)
        turns[bones[f"Upperarm{side}"].name] = arm
        turns[bones[f"Thigh{side}"].name] = leg
        turns[bones[f"Ankle{side}"].name] = leg.inverted()
    moved: dict[str, Matrix] = {}
    for bone in armature.data.bones:  # parents come first
        parent = moved[bone.parent.name] if bone.parent else Matrix.Identity(4)
        turn = turns.get(bone.name)
        pivot = Matrix.Translation(bone.head_local)
        moved[bone.name] = (
            parent @ pivot @ turn.to_matrix().to_4x4() @ pivot.inverted() if turn else parent
        )
    ankles = [bones[f"Ankle{side}"] for side in "LR"]
    lowered = [b.head_local.z - (moved[b.name] @ b.head_local).z for b in ankles]
    lift = Matrix.Translation((0, 0, sum(lowered) / len(lowered)))
    return {name: lift @ matrix for name, matrix in moved.items()}


@contextmanager
def edit_bones(
    armature: bpy.types.Object, edit_scene: bpy.types.Scene
) -> Iterator["bpy.types.ArmatureEditBones"]:
    """Provide the edit bones of an armature that is in no scene.

    Args:
        armature: may be hidden.
        edit_scene: a temporary scene (see `armature.create`).
    """
    edit_scene.collection.objects.link(armature)
    view_layer = edit_scene.view_layers[0]
    view_layer.objects.active = armature
    with bpy.context.temp_override(
        scene=edit_scene, view_layer=view_layer, object=armature, active_object=armature
    ):
        bpy.ops.object.mode_set(mode="EDIT")
        yield armature.data.edit_bones
        bpy.ops.object.mode_set(mode="OBJECT")
    edit_scene.collection.objects.unlink(armature)


def move_bones(
    armature: bpy.types.Object, moved: Mapping[str, Matrix], edit_scene: bpy.types.Scene
) -> None:
    """Move rest bones: heads, tails and rolls.

    Args:
        armature: is in no scene.
        moved: what moves each bone, in armature space.
        edit_scene: a temporary scene (see `armature.create`).
    """
    with edit_bones(armature, edit_scene) as bones:
        targets = {bone.name: (moved[bone.name] @ bone.matrix, bone.length) for bone in bones}
        for bone in bones:
            matrix, length = targets[bone.name]
            bone.head, bone.tail = matrix.translation, matrix @ Vector((0, length, 0))
            bone.align_roll(matrix.to_3x3() @ Vector((0, 0, 1)))


def change(
    armature: bpy.types.Object,
    mesh: bpy.types.Object,
    rest: str,
    edit_scene: bpy.types.Scene,
) -> bpy.types.Object | None:
    """Give a new person another rest pose than the A-rest.

    Args:
        armature: of the person, without keys, in no scene and in the A-rest.
        mesh: the skin of the person.
        rest: one of `RESTS`.
        edit_scene: a temporary scene (see `armature.create`).

    Returns:
        The bind armature; None in the A-rest, which needs none.
    """
    if rest == "A":
        return None
    moved = displacements(armature, rest)
    offsets = {bone.name: _offset(bone, moved) for bone in armature.data.bones if bone.parent}
    bind = _bind(armature, mesh, edit_scene)
    move_bones(armature, moved, edit_scene)
    armature.data[_REST] = rest
    for name, offset in offsets.items():
        if offset.angle > 1e-6:
            armature.data.bones[name][_OFFSET] = tuple(offset)
    return bind


def offsets_and_axes(armature: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """Return the rotations of the joints' bones from the A-rest, and their axes in it.

    Args:
        armature: in any rest; its bones may have been edited.

    Returns:
        Quaternions (joints, 4) in the bones' own axes, and axes (joints, 3, 3) as columns.

    Raises:
        KeyError: a joint's bone is missing.
    """
    bones = bone_names.find_bones(armature)
    now = [np.array(bones[name].matrix_local)[:3, :3] for name in JOINT_NAMES]
    offsets = np.array([bones[name].get(_OFFSET, (1.0, 0.0, 0.0, 0.0)) for name in JOINT_NAMES])
    turns = quaternions.to_matrices(offsets)
    axes: list[np.ndarray] = []
    for joint, parent in enumerate(PARENTS):
        if parent < 0:
            axes.append(now[joint])
        else:
            axes.append(axes[parent] @ now[parent].T @ now[joint] @ turns[joint].T)
    return offsets, np.array(axes)


def _turn(
    bones: Mapping[str, bpy.types.Bone], start: str, end: str, direction: tuple[float, ...]
) -> Quaternion:
    """Return the shortest rotation of a limb into a direction."""
    limb = bones[end].head_local - bones[start].head_local
    return limb.rotation_difference(Vector(direction))


def _offset(bone: bpy.types.Bone, moved: Mapping[str, Matrix]) -> Quaternion:
    """Return how a bone is rotated from the A-rest relative to its parent, in its own axes."""
    turn = (moved[bone.parent.name].inverted() @ moved[bone.name]).to_3x3()
    axes = bone.matrix_local.to_3x3()
    return (axes.inverted() @ turn @ axes).to_quaternion()


def _bind(
    armature: bpy.types.Object, mesh: bpy.types.Object, edit_scene: bpy.types.Scene
) -> bpy.types.Object:
    """Make the bind armature of a person and let it move the skin."""
    name = f"{armature.name} Bind"
    data = armature.data.copy()
    data.name = name
    bind = bpy.data.objects.new(name, data)
    bind.parent = armature
    edit_scene.collection.objects.link(bind)
    edit_scene.view_layers[0].update()  # makes the pose bones
    edit_scene.collection.objects.unlink(bind)
    bind.hide_viewport = bind.hide_render = bind.hide_select = True
    twists = {bone_names.to_blender(twist.name): twist for twist in TWISTS}
    for bone in bind.pose.bones:
        bone.rotation_mode = "QUATERNION"
        if bone.name in twists:  # what is twist and what is swing depends on the rest
            follower, leader = armature.pose.bones[bone.name], bind
            drive_twist(bind, twists[bone.name])
            for constraint in list(follower.constraints):
                follower.constraints.remove(constraint)
        else:
            follower, leader = bone, armature
        copy = follower.constraints.new("COPY_TRANSFORMS")
        copy.name = "Pose of the person"
        copy.target, copy.subtarget = leader, bone.name
    for modifier in mesh.modifiers:
        if modifier.type == "ARMATURE":
            modifier.object = bind
    return bind
