"""Actions: keyframes of people and cameras."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import bpy
import numpy as np

from . import bone_names, bone_pose, quaternions
from .character import Character
from .resample import CONSTANT, LINEAR, Resampler

if TYPE_CHECKING:
    from ..hund_backend.reconstruction import Reconstruction

HAS_SLOTS = bpy.app.version >= (4, 4, 0)
HIDING = ("hide_viewport", "hide_render")  # properties of an object that is hidden when absent
_COLOR_MODES = {3: "AUTO_RGB", 4: "AUTO_YRGB"}  # of F-curves, by the number of components
_MOTION_TOLERANCE = 1e-6  # a property that varies by less gets one key

# A channelbag, or before Blender 4.4 an action: both hold F-curves and their groups.
Channels: TypeAlias = "bpy.types.ActionChannelbag | bpy.types.Action"


class Motion:
    """Action that animates several datablocks.

    Each datablock has its own slot in Blender 4.4 and later, else its own action.
    """

    def __init__(
        self,
        name: str,
        existing: bpy.types.Action | None = None,
        channels: Mapping[bpy.types.ID, Channels] | None = None,
    ) -> None:
        """Make a motion, or write one again.

        Args:
            name: of a new action.
            existing: gets new slots instead of a new action.
            channels: what holds the F-curves that datablocks have already.
        """
        self._name, self._action = name, existing
        self._channels = dict(channels or {})

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


def channels_of(animation: bpy.types.AnimData | bpy.types.NlaStrip) -> "Channels | None":
    """Return the container of the F-curves that a datablock or a strip uses, or None."""
    if animation.action is None or not HAS_SLOTS:
        return animation.action
    strips = [strip for layer in animation.action.layers for strip in layer.strips]
    return (
        strips[0].channelbag(animation.action_slot) if strips and animation.action_slot else None
    )


def fcurves(action: bpy.types.Action) -> list[bpy.types.FCurve]:
    """Return the F-curves of an action, of all its slots."""
    if not HAS_SLOTS:
        return list(action.fcurves)
    strips = [strip for layer in action.layers for strip in layer.strips]
    return [curve for strip in strips for bag in strip.channelbags for curve in bag.fcurves]


def channels_in(holder: bpy.types.AnimData | bpy.types.NlaStrip) -> "Channels | None":
    """Return what holds the F-curves of the action that a datablock or a strip uses, if any."""
    if not holder.action or not HAS_SLOTS:
        return holder.action
    slot = holder.action_slot
    strips = [strip for layer in holder.action.layers for strip in layer.strips]
    return strips[0].channelbag(slot, ensure=True) if slot and strips else None


def copy_channels(source: Channels, target: Channels, paths: Mapping[str, str]) -> None:
    """Copy F-curves; those of the target that have the same paths get the source's keys.

    Args:
        source: of another datablock.
        target: of the datablock.
        paths: of the F-curves in the target, by those in the source.
    """
    for curve in source.fcurves:
        group = curve.group.name if curve.group else ""
        copy = _ensure_fcurve(target, paths[curve.data_path], curve.array_index, group)
        copy.color_mode, count = curve.color_mode, len(curve.keyframe_points)
        points, interpolations = np.empty(2 * count, np.float32), np.empty(count, np.int32)
        curve.keyframe_points.foreach_get("co", points)
        curve.keyframe_points.foreach_get("interpolation", interpolations)
        set_keys(copy, points, interpolations)


def write_channel(
    channels: Channels,
    data_path: str,
    frames: np.ndarray,
    values: np.ndarray,
    *,
    group: str = "",
    interpolation: int | np.ndarray = LINEAR,
) -> None:
    """Key one property; a constant one gets a single key.

    Args:
        channels: of the datablock.
        data_path: the property, from the datablock.
        frames: of the keys in the scene's time, (frames,).
        values: (frames, components), one F-curve per component.
        group: of the F-curves in the editors; none if empty.
        interpolation: CONSTANT or LINEAR, of all keys or of each one, (frames,).
    """
    interpolations = np.full(len(frames), interpolation, np.int32)
    if np.ptp(values, axis=0).max() < _MOTION_TOLERANCE:
        frames, values, interpolations = frames[:1], values[:1], interpolations[:1]
    for index, column in enumerate(values.T):
        fcurve = _ensure_fcurve(channels, data_path, index, group)
        fcurve.color_mode = _COLOR_MODES.get(values.shape[1], "AUTO_RAINBOW")
        points = np.column_stack((frames, column)).astype(np.float32).ravel()
        set_keys(fcurve, points, interpolations)


def _ensure_fcurve(channels: Channels, data_path: str, index: int, group: str) -> bpy.types.FCurve:
    """Return an F-curve; an existing one keeps its modifiers."""
    if fcurve := channels.fcurves.find(data_path, index=index):
        return fcurve
    fcurve = channels.fcurves.new(data_path, index=index)
    if group:
        fcurve.group = channels.groups.get(group) or channels.groups.new(group)
    return fcurve


def set_keys(fcurve: bpy.types.FCurve, points: np.ndarray, interpolations: np.ndarray) -> None:
    """Replace the keys of an F-curve.

    Args:
        fcurve: may have keys.
        points: frame and value of each key in turn, (2 × keys,).
        interpolations: (keys,).
    """
    fcurve.keyframe_points.clear()
    fcurve.keyframe_points.add(len(interpolations))
    fcurve.keyframe_points.foreach_set("co", points)
    fcurve.keyframe_points.foreach_set("interpolation", interpolations)
    fcurve.update()


def write_person(
    character: Character,
    reconstruction: "Reconstruction",
    person: int,
    keys: Resampler,
    motion: Motion | None = None,
) -> None:
    """Key a person's motion on a character.

    Args:
        character: gets the keys. It may lack the mesh, or shape keys of the face.
        reconstruction: holds the motion.
        person: index of the person in it.
        keys: of the motion in the scene.
        motion: gets the F-curves. None: a new one named after the character.
    """
    motion = motion or Motion(f"{character.name} Motion")
    _write_pose(motion, character, reconstruction, person, keys)
    face = [coefficients[person] for coefficients in reconstruction.driven_face]
    _write_face(motion, character, np.concatenate(face, axis=1), keys)
    _write_presence(motion, character, reconstruction.present[person], keys)
    _write_facts(motion, character, reconstruction, person, keys)


def _write_pose(
    motion: Motion,
    character: Character,
    reconstruction: "Reconstruction",
    person: int,
    keys: Resampler,
) -> None:
    """Key the bones."""
    posed = bone_pose.from_joints(
        character.armature,
        reconstruction.rotations[person],
        reconstruction.root_translation[person],
        reconstruction.world_from_camera,
        character.units_per_meter,
    )
    rotations = quaternions.make_continuous(keys.rotations(posed.rotations))
    channels, held = motion.channels(character.armature), keys.interpolations
    names = bone_names.joint_bone_names(character.armature)
    path, locations = f'pose.bones["{names[0]}"].location', keys.values(posed.locations)
    write_channel(channels, path, keys.frames, locations, group=names[0], interpolation=held)
    for joint, bone in enumerate(names):
        path, values = f'pose.bones["{bone}"].rotation_quaternion', rotations[:, joint]
        write_channel(channels, path, keys.frames, values, group=bone, interpolation=held)


def _write_facts(
    motion: Motion,
    character: Character,
    reconstruction: "Reconstruction",
    person: int,
    keys: Resampler,
) -> None:
    """Key what is known beside the motion: contacts of the feet and confidence of the bones."""
    from . import confidence, contact_curves  # here: they import this module

    channels, times = motion.channels(character.armature), reconstruction.times
    fps = float(1 / np.median(np.diff(times))) if len(times) > 1 else reconstruction.fps
    flags = contact_curves.from_confidence(reconstruction.contacts[person], fps)
    flags = keys.values(flags.astype(float)) > 0.5
    contact_curves.write(channels, character.armature, keys.frames, flags)
    values = keys.values(reconstruction.joint_confidence[person])
    confidence.write(channels, character.armature, keys.frames, values)


def _write_face(motion: Motion, character: Character, values: np.ndarray, keys: Resampler) -> None:
    """Set the shape keys of the face, and key those that vary."""
    shape_keys = character.mesh.data.shape_keys if character.mesh else None
    blocks = shape_keys.key_blocks if shape_keys else {}
    for name, column in zip(character.face_keys, keys.values(values).T, strict=True):
        key = blocks.get(name)
        if key is None:
            continue  # the user has removed it
        key.slider_min = min(key.slider_min, float(column.min()))
        key.slider_max = max(key.slider_max, float(column.max()))
        key.value = float(column[0])
        if np.ptp(column) >= _MOTION_TOLERANCE:
            channels = motion.channels(shape_keys, "Face")
            path, values, held = (
                f'key_blocks["{name}"].value',
                column[:, None],
                keys.interpolations,
            )
            write_channel(channels, path, keys.frames, values, group="Face", interpolation=held)


def _write_presence(
    motion: Motion, character: Character, present: np.ndarray, keys: Resampler
) -> None:
    """Hide the character before the first and after the last frame in which the person is present.

    The file repeats the first or last pose there. In gaps between, the pose is interpolated and
    the character is shown.
    """
    is_hidden = 1.0 - keys.interval(present)[:, None]
    if is_hidden.all() or not is_hidden.any():
        return
    changes = np.flatnonzero(np.diff(is_hidden[:, 0], prepend=2))
    frames, values = keys.frames[changes], is_hidden[changes]
    for obj, part in ((character.armature, ""), (character.mesh, "Presence")):
        if obj is None:
            continue
        channels = motion.channels(obj, part)
        for path in HIDING:
            write_channel(channels, path, frames, values, group="Presence", interpolation=CONSTANT)
