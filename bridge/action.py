"""Actions: what moves, keyed."""

from typing import TypeAlias

import bpy
import numpy as np

from ..hund_backend.reconstruction import Reconstruction
from . import pose, quaternions
from .character import Character

HAS_SLOTS = bpy.app.version >= (4, 4, 0)
CONSTANT, LINEAR = 0, 1  # of the keyframes' enumeration, which foreach_set takes as numbers
_COLORS = {3: "AUTO_RGB", 4: "AUTO_YRGB"}  # of curves with so many components
_STILL = 1e-6  # a channel that moves less gets one key


# A channelbag, or before Blender 4.4 an action: both hold F-curves and their groups.
Channels: TypeAlias = "bpy.types.ActionChannelbag | bpy.types.Action"


class Motion:
    """An action that animates several datablocks.

    A slot each where Blender has slots (4.4 and later), else an action each.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._action: bpy.types.Action | None = None
        self._channels: dict[bpy.types.ID, Channels] = {}

    def channels(self, datablock: bpy.types.ID, part: str = "") -> Channels:
        """Where a datablock's F-curves go; `part` tells its part of the motion from the main one."""
        if datablock not in self._channels:
            self._channels[datablock] = self._bind(datablock, f"{self._name} {part}".strip())
        return self._channels[datablock]

    def _bind(self, datablock: bpy.types.ID, name: str) -> Channels:
        animation = datablock.animation_data_create()
        if not HAS_SLOTS:
            animation.action = bpy.data.actions.new(name)
            return animation.action
        if self._action is None:
            self._action = bpy.data.actions.new(self._name)
            self._action.layers.new("Layer").strips.new(type="KEYFRAME")
        slot = self._action.slots.new(datablock.id_type, name)
        animation.action, animation.action_slot = self._action, slot
        return self._action.layers[0].strips[0].channelbag(slot, ensure=True)


def write_channel(
    channels: Channels,
    data_path: str,
    frames: np.ndarray,
    values: np.ndarray,
    *,
    group: str = "",
    interpolation: int = LINEAR,
) -> None:
    """Key one property; one that stands still gets a single key.

    Args:
        channels: of the datablock.
        data_path: the property, from the datablock.
        frames: where the keys stand in the scene's time, (frames,).
        values: (frames, components), one F-curve per component.
        group: under which the curves stand in the editors.
        interpolation: CONSTANT or LINEAR.
    """
    if np.ptp(values, axis=0).max() < _STILL:
        frames, values = frames[:1], values[:1]
    kinds = np.full(len(frames), interpolation, np.int32)
    for index, column in enumerate(values.T):
        fcurve = channels.fcurves.new(data_path, index=index)
        if group:
            fcurve.group = channels.groups.get(group) or channels.groups.new(group)
        fcurve.color_mode = _COLORS.get(values.shape[1], "AUTO_RAINBOW")
        points = fcurve.keyframe_points
        points.add(len(frames))
        points.foreach_set("co", np.column_stack((frames, column)).astype(np.float32).ravel())
        points.foreach_set("interpolation", kinds)
        fcurve.update()


def write_person(
    character: Character, reconstruction: Reconstruction, person: int, frames: np.ndarray
) -> None:
    """Key a person's motion on the character made for it, in one action named after it.

    Args:
        character: whom to move.
        reconstruction: what to write.
        person: index of the person in it.
        frames: where its frames stand in the scene's time, (frames,).
    """
    motion = Motion(character.name)
    _write_pose(motion, character, reconstruction, person, frames)
    face = (reconstruction.expression[person], reconstruction.arkit[person])
    _write_face(motion, character, np.concatenate(face, axis=1), frames)
    _write_presence(motion, character, reconstruction.present[person], frames)


def _write_pose(
    motion: Motion,
    character: Character,
    reconstruction: Reconstruction,
    person: int,
    frames: np.ndarray,
) -> None:
    """Key the bones."""
    posed = pose.in_bones(
        character.armature,
        reconstruction.rotations[person],
        reconstruction.root_translation[person],
        reconstruction.world_from_camera,
    )
    turns = quaternions.continuous(posed.rotations)
    channels = motion.channels(character.armature)
    names = reconstruction.joint_names
    path = f'pose.bones["{names[0]}"].location'
    write_channel(channels, path, frames, posed.locations, group=names[0])
    for joint, bone in enumerate(names):
        path = f'pose.bones["{bone}"].rotation_quaternion'
        write_channel(channels, path, frames, turns[:, joint], group=bone)


def _write_face(
    motion: Motion, character: Character, values: np.ndarray, frames: np.ndarray
) -> None:
    """Set the shape keys of the face, and key those that move."""
    keys = character.mesh.data.shape_keys
    for name, column in zip(character.face_keys, values.T, strict=True):
        key = keys.key_blocks[name]
        key.slider_min = min(key.slider_min, float(column.min()))
        key.slider_max = max(key.slider_max, float(column.max()))
        key.value = float(column[0])
        if np.ptp(column) >= _STILL:
            channels = motion.channels(keys, "Face")
            path = f'key_blocks["{name}"].value'
            write_channel(channels, path, frames, column[:, None], group="Face")


def _write_presence(
    motion: Motion, character: Character, present: np.ndarray, frames: np.ndarray
) -> None:
    """Hide the skin before the person comes and after the person has gone.

    The file holds the first or last values there: a statue. In a gap between, where the pose is
    interpolated, the person stays.
    """
    seen = np.flatnonzero(present)
    if not len(seen) or len(seen) == len(present):
        return
    is_hidden = np.ones((len(frames), 1))
    is_hidden[seen[0] : seen[-1] + 1] = 0
    if not is_hidden.any():
        return
    changes = np.flatnonzero(np.diff(is_hidden[:, 0], prepend=2))
    channels = motion.channels(character.mesh, "Presence")
    for path in ("hide_viewport", "hide_render"):
        write_channel(channels, path, frames[changes], is_hidden[changes], interpolation=CONSTANT)
