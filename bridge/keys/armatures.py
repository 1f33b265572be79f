"""Armatures whose keys are edited: checked, with the frames of their actions."""

import bpy
import numpy as np

from ..retarget import sampling
from .errors import KeysError


def problem(armature: bpy.types.Object | None) -> str:
    """Return why an object's keys cannot be edited, in one sentence, or nothing."""
    if armature is None or armature.type != "ARMATURE":
        name = armature.name if armature else "Nothing"
        return f"{name} is not an armature: select the armature with the motion."
    if armature.mode == "EDIT":
        return f"{armature.name} is in Edit Mode: leave it first."
    animation = armature.animation_data
    if animation and animation.use_tweak_mode:
        return f"{armature.name} is in the NLA's tweak mode: leave it first."
    if animation is None or animation.action is None:
        return f"{armature.name} has no action: choose one in the Action Editor."
    if animation.action.library is not None or armature.library is not None:
        return f"The motion of {armature.name} is linked from another file: make it local first."
    return ""


def frames_of(armature: bpy.types.Object, least: int = 2) -> np.ndarray:
    """Return the whole frames of an armature's action, (frames,).

    Args:
        armature: to edit.
        least: number of frames that are needed.

    Raises:
        KeysError: its keys cannot be edited, or they are too short.
    """
    if text := problem(armature):
        raise KeysError(text)
    limits = sampling.frame_range(armature)
    if limits is None:
        raise KeysError(f"The action of {armature.name} moves no bone: choose another one.")
    frames = sampling.whole_frames(limits)
    if len(frames) < least:
        raise KeysError(
            f"The motion of {armature.name} has {len(frames)} frames, and {least} are needed."
        )
    return frames


def selected_bones(armature: bpy.types.Object) -> set[str]:
    """Return the names of the selected bones.

    Raises:
        KeysError: none is selected.
    """
    names = {bone.name for bone in armature.pose.bones if _is_selected(bone)}
    if not names:
        raise KeysError(f"No bone of {armature.name} is selected: select some in Pose Mode.")
    return names


def _is_selected(bone: bpy.types.PoseBone) -> bool:
    return bone.select if bpy.app.version >= (5, 0, 0) else bone.bone.select
