"""Motions for the tests of keys: a chain of bones, a walk of one of our people, measures."""

import bpy
import numpy as np
from bl_ext.user_default.hund.bridge import action, scene
from bl_ext.user_default.hund.hund_backend.body.skeleton import JOINT_NAMES
from mathutils import Quaternion
from rig_tables import link
from synthetic_people import build_reconstruction, random_motion, rotvecs_to_quaternions

STEPS = 4  # of the walk
STEP_FRAMES = 15


def keyed_chain(mode, *, frames=80, seed=0, flips=False, bones=5):
    """An armature with a chain of bones, a key on every frame; and its frames.

    The first bone travels. `flips` exchanges the signs of some quaternions.
    """
    armature = link(bpy.data.armatures.new("chain"), "chain")
    bpy.ops.object.mode_set(mode="EDIT")
    for index in range(bones):
        bone = armature.data.edit_bones.new(f"bone.{index}")
        bone.head, bone.tail = (0, 0, 0.3 * index), (0.05, 0, 0.3 * (index + 1))
        bone.roll = index
        if index:
            bone.parent = armature.data.edit_bones[f"bone.{index - 1}"]
    bpy.ops.object.mode_set(mode="OBJECT")
    rng = np.random.default_rng(seed)
    rotations = rotvecs_to_quaternions(random_motion(rng, frames, bones, 3, size=0.3))
    if flips:
        rotations *= rng.choice([-1, 1], size=(frames, bones, 1))
    key_rotations(armature, mode, rotations)
    channels = action.channels_of(armature.animation_data)
    location = random_motion(rng, frames, 3, size=0.3)
    times = np.arange(1.0, frames + 1)
    action.write_channel(channels, 'pose.bones["bone.0"].location', times, location)
    return armature, times


def key_rotations(armature, mode, rotations):
    """Key all bones of an armature in a rotation mode, in a new action."""
    times = np.arange(1.0, len(rotations) + 1)
    channels = action.Motion("motion").channels(armature)
    paths = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}
    for bone, column in zip(armature.pose.bones, rotations.swapaxes(0, 1), strict=True):
        bone.rotation_mode = mode
        path = f'pose.bones["{bone.name}"].{paths.get(mode, "rotation_euler")}'
        values, before = [], None
        for row in column:
            quaternion = Quaternion(row)
            if mode == "QUATERNION":
                values.append(row)
            elif mode == "AXIS_ANGLE":
                axis, angle = quaternion.to_axis_angle()
                values.append([angle, *axis])
            else:
                before = quaternion.to_euler(mode, before) if before else quaternion.to_euler(mode)
                values.append(list(before))
        action.write_channel(channels, path, times, np.array(values))


def walking():
    """A character of ours that walks, and the contacts of its feet (see `Contacts`).

    The feet are not quite still in contact: the legs swing like pendulums.
    """
    count = STEPS * STEP_FRAMES + 1
    phase = np.pi * np.arange(count) / STEP_FRAMES
    rotvecs = np.zeros((1, count, len(JOINT_NAMES), 3))
    index = {name: i for i, name in enumerate(JOINT_NAMES)}
    for side, sign in (("L", 1), ("R", -1)):
        swing = sign * np.sin(phase)
        bend = np.maximum(0, sign * np.cos(phase)) ** 2
        rotvecs[0, :, index[f"Thigh{side}"], 0] = -0.45 * swing - 0.3 * bend
        rotvecs[0, :, index[f"Calf{side}"], 0] = 0.9 * bend
        rotvecs[0, :, index[f"Upperarm{side}"], 0] = 0.4 * swing
        rotvecs[0, :, index[f"Lowerarm{side}"], 0] = -0.3 - 0.2 * swing
    rotvecs[0, :, index["Pelvis"], 0] = np.pi
    rotvecs[0, :, index["Spine01"], 1] = 0.08 * np.sin(phase)
    translation = np.zeros((1, count, 3))
    translation[0, :, 2] = 6 - 0.035 * np.arange(count)
    translation[0, :, 1] = 0.6 + 0.02 * np.cos(2 * phase)
    contacts = np.zeros((1, count, 4), np.float32)
    contacts[0, :, 0] = contacts[0, :, 1] = np.cos(phase) < -0.3
    contacts[0, :, 2] = contacts[0, :, 3] = np.cos(phase) > 0.3
    level = np.eye(4)
    level[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]  # the camera looks along y
    level[2, 3] = 1.5
    reconstruction = build_reconstruction(
        frames=count,
        rotations=rotvecs_to_quaternions(rotvecs).astype(np.float32),
        root_translation=translation.astype(np.float32),
        contacts=contacts,
        world_from_camera=np.tile(level, (count, 1, 1)),
        moves_face=False,
    )
    (character,) = scene.write(bpy.context, reconstruction, match_scene=True).people
    return character, {"L": contacts[0, :, :2], "R": contacts[0, :, 2:]}


def key_times(armature):
    """Whole frames from the first to the last key of an armature's bones."""
    from retargeting import curves_of

    times = [keys[:, 0] for (path, _), keys in curves_of(armature).items() if "bones" in path]
    return np.arange(min(map(np.min, times)), max(map(np.max, times)) + 0.5)


def evaluated_joints(armature, frames, names=None):
    """Heads and tails of bones in the world as Blender evaluates them, (frames, 2 × bones, 3)."""
    names = names or [bone.name for bone in armature.data.bones]
    joints = []
    for frame in frames.tolist():
        whole = int(np.floor(frame))
        bpy.context.scene.frame_set(whole, subframe=frame - whole)
        evaluated = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
        bones = [evaluated.pose.bones[name] for name in names]
        points = [bone.head for bone in bones] + [bone.tail for bone in bones]
        joints.append([evaluated.matrix_world @ point for point in points])
    return np.array(joints)
