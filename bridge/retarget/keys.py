"""Keys: a new action with the keys of the mapped controls, and nothing else of the rig changed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import bpy
import numpy as np

from .. import action
from .channels import Channels, rotation_channels
from .local_pose import BoneKeys
from .mapping import Switch

RETARGETED = "hund_retargeted"  # custom property of an action: the armature it was made from


@contextmanager
def new_action(armature: bpy.types.Object, name: str, source: str) -> Iterator[action.Motion]:
    """Give an armature a new action; if writing it fails, the previous one is restored.

    The previous action stays in the file: unless it was made here, it gets a fake user.

    Args:
        armature: to animate.
        name: of the action.
        source: name of the armature that the motion is from.
    """
    had_data = armature.animation_data is not None
    animation = armature.animation_data_create()
    previous = animation.action
    slot = animation.action_slot if action.HAS_SLOTS else None
    before = set(bpy.data.actions)
    try:
        motion = action.Motion(name)
        motion.channels(armature)
        animation.action[RETARGETED] = source
        yield motion
    except BaseException:
        animation.action = previous
        if action.HAS_SLOTS and previous:
            animation.action_slot = slot
        if not had_data:
            armature.animation_data_clear()
        bpy.data.batch_remove(set(bpy.data.actions) - before)
        raise
    if previous and RETARGETED not in previous and previous.library is None:
        previous.use_fake_user = True


def write(
    motion: action.Motion,
    armature: bpy.types.Object,
    frames: np.ndarray,
    keys: Mapping[str, BoneKeys],
) -> int:
    """Write the keys of bones and return how many curves they are.

    Args:
        motion: of the new action.
        armature: to animate.
        frames: of the scene, (frames,).
        keys: by the names of the bones.
    """
    channels = motion.channels(armature)
    before = len(channels.fcurves)
    for name, bone in keys.items():
        path = f'pose.bones["{bpy.utils.escape_identifier(name)}"].'
        if bone.location is not None:
            action.write_channel(channels, f"{path}location", frames, bone.location, group=name)
        rotation = bone.rotation
        if len(rotation.keyed) == rotation.values.shape[1]:
            action.write_channel(
                channels, path + rotation.path, frames, rotation.values, group=name
            )
        else:
            _write_components(channels, path + rotation.path, frames, rotation, name)
    return len(channels.fcurves) - before


def write_switches(
    motion: action.Motion,
    armature: bpy.types.Object,
    frame: float,
    switches: tuple[Switch, ...],
    *,
    use_ik: bool,
) -> None:
    """Key the properties that select FK or IK, constantly."""
    channels = motion.channels(armature)
    for switch in switches:
        value = switch.value(use_ik=use_ik)
        if value is None:
            continue
        bone, prop = (bpy.utils.escape_identifier(text) for text in (switch.bone, switch.prop))
        is_custom = switch.prop in armature.pose.bones[switch.bone]
        action.write_channel(
            channels,
            f'pose.bones["{bone}"]' + (f'["{prop}"]' if is_custom else f".{prop}"),
            np.array([frame]),
            np.array([[value]]),
            group=switch.bone,
            interpolation=action.CONSTANT,
        )


def write_rest_rotations(
    motion: action.Motion, armature: bpy.types.Object, frame: float, names: Sequence[str]
) -> None:
    """Key bones unrotated, constantly.

    Args:
        motion: of the new action.
        armature: to animate.
        frame: of the keys.
        names: of the bones.
    """
    channels = motion.channels(armature)
    for name in names:
        bone = armature.pose.bones[name]
        rest = rotation_channels(bone, np.eye(3)[None], use_locks=False)
        path = f'pose.bones["{bpy.utils.escape_identifier(name)}"].{rest.path}'
        action.write_channel(
            channels,
            path,
            np.array([frame]),
            rest.values,
            group=name,
            interpolation=action.CONSTANT,
        )


def _write_components(
    channels: action.Channels,
    path: str,
    frames: np.ndarray,
    rotation: Channels,
    group: str,
) -> None:
    """Write single components of a rotation: the locked ones get no curves."""
    for component in rotation.keyed:
        values = rotation.values[:, component]
        fcurve = channels.fcurves.new(path, index=component)
        fcurve.group = channels.groups.get(group) or channels.groups.new(group)
        points = fcurve.keyframe_points
        points.add(len(frames))
        points.foreach_set("co", np.column_stack((frames, values)).astype(np.float32).ravel())
        points.foreach_set("interpolation", np.full(len(frames), action.LINEAR, np.int32))
        fcurve.update()
