"""Actions: keyframes of people and cameras."""

from typing import TypeAlias

import bpy
import numpy as np

from ..hund_backend.reconstruction import Reconstruction
from . import bone_pose, quaternions
from .character import Character

HAS_SLOTS = bpy.app.version >= (4, 4, 0)
CONSTANT, LINEAR = 0, 1  # interpolation of keyframes, which foreach_set takes as numbers
_COLOR_MODES = {3: "AUTO_RGB", 4: "AUTO_YRGB"}  # of F-curves, by the number of components
_MOTION_TOLERANCE = 1e-6  # a property that varies by less gets one key

# A channelbag, or before Blender 4.4 an action: both hold F-curves and their groups.
Channels: TypeAlias = "bpy.types.ActionChannelbag | bpy.types.Action"


class Motion:
    """Action that animates several datablocks.

    Each datablock has its own slot in Blender 4.4 and later, else its own action.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._action: bpy.types.Action | None = None
        self._channels: dict[bpy.types.ID, Channels] = {}

    def channels(self, datablock: bpy.types.ID, part: str = "") -> Channels:
        """Return the container of a datablock's F-curves; `part` is appended to its name."""
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


def fcurves(action: bpy.types.Action) -> list[bpy.types.FCurve]:
    """Return the F-curves of an action, of all its slots."""
    if not HAS_SLOTS:
        return list(action.fcurves)
    strips = [strip for layer in action.layers for strip in layer.strips]
    return [curve for strip in strips for bag in strip.channelbags for curve in bag.fcurves]


def write_channel(
    channels: Channels,
    data_path: str,
    frames: np.ndarray,
    values: np.ndarray,
    *,
    group: str = "",
    interpolation: int = LINEAR,
) -> None:
    """Key one property; a constant one gets a single key.

    Args:
        channels: of the datablock.
        data_path: the property, from the datablock.
        frames: of the keys in the scene's time, (frames,).
        values: (frames, components), one F-curve per component.
        group: of the F-curves in the editors; none if empty.
        interpolation: CONSTANT or LINEAR.
    """
    if np.ptp(values, axis=0).max() < _MOTION_TOLERANCE:
        frames, values = frames[:1], values[:1]
    interpolations = np.full(len(frames), interpolation, np.int32)
    for index, column in enumerate(values.T):
        fcurve = channels.fcurves.new(data_path, index=index)
        if group:
            fcurve.group = channels.groups.get(group) or channels.groups.new(group)
        fcurve.color_mode = _COLOR_MODES.get(values.shape[1], "AUTO_RAINBOW")
        points = fcurve.keyframe_points
        points.add(len(frames))
        points.foreach_set("co", np.column_stack((frames, column)).astype(np.float32).ravel())
        points.foreach_set("interpolation", interpolations)
        fcurve.update()


def write_person(
    character: Character, reconstruction: Reconstruction, person: int, frames: np.ndarray
) -> None:
    """Key a person's motion on the character made for it, in one action named after it.

    Args:
        character: gets the keys.
        reconstruction: holds the motion.
        person: index of the person in it.
        frames: its frames in the scene's time, (frames,).
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
    posed = bone_pose.from_joints(
        character.armature,
        reconstruction.rotations[person],
        reconstruction.root_translation[person],
        reconstruction.world_from_camera,
    )
    rotations = quaternions.make_continuous(posed.rotations)
    channels = motion.channels(character.armature)
    names = reconstruction.joint_names
    path = f'pose.bones["{names[0]}"].location'
    write_channel(channels, path, frames, posed.locations, group=names[0])
    for joint, bone in enumerate(names):
        path = f'pose.bones["{bone}"].rotation_quaternion'
        write_channel(channels, path, frames, rotations[:, joint], group=bone)


def _write_face(
    motion: Motion, character: Character, values: np.ndarray, frames: np.ndarray
) -> None:
    """Set the shape keys of the face, and key those that vary."""
    keys = character.mesh.data.shape_keys
    for name, column in zip(character.face_keys, values.T, strict=True):
        key = keys.key_blocks[name]
        key.slider_min = min(key.slider_min, float(column.min()))
        key.slider_max = max(key.slider_max, float(column.max()))
        key.value = float(column[0])
        if np.ptp(column) >= _MOTION_TOLERANCE:
            channels = motion.channels(keys, "Face")
            path = f'key_blocks["{name}"].value'
            write_channel(channels, path, frames, column[:, None], group="Face")


def _write_presence(
    motion: Motion, character: Character, present: np.ndarray, frames: np.ndarray
) -> None:
    """Hide the mesh before the first and after the last frame in which the person is present.

    The file repeats the first or last pose there. In gaps between, the pose is interpolated and
    the mesh is shown.
    """
    present_frames = np.flatnonzero(present)
    if not len(present_frames) or len(present_frames) == len(present):
        return
    is_hidden = np.ones((len(frames), 1))
    is_hidden[present_frames[0] : present_frames[-1] + 1] = 0
    if not is_hidden.any():
        return
    changes = np.flatnonzero(np.diff(is_hidden[:, 0], prepend=2))
    channels = motion.channels(character.mesh, "Presence")
    for path in ("hide_viewport", "hide_render"):
        write_channel(channels, path, frames[changes], is_hidden[changes], interpolation=CONSTANT)
