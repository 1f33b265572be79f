"""Clip assets: actions and poses for the asset browser, with a picture and where they come from."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from bpy.app.translations import pgettext_rpt as rpt_

from ..hund_backend.errors import BadInputError
from . import absence, action, clip_picture, clips, shown, texts

_WORDS = re.compile(r"[\w\-]+")
_METHODS = {"hund": "learned descent", "fit": "gradients alone"}
_CHANNELS = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a motion comes from."""

    clip: str = ""  # name of the video; empty if unknown
    frames: tuple[int, int] | None = None  # first and last, by their numbers in the video
    fps: float = 0.0
    confidence: float | None = None  # 0…1
    provenance: Mapping[str, Any] | None = None  # of the reconstruction's file


def mark_action(
    context: bpy.types.Context,
    armature: bpy.types.Object,
    origin: Origin,
    *,
    author: str = "",
    tags: Iterable[str] = (),
) -> bpy.types.Action:
    """Mark the action of an armature as an asset.

    Its preview shows the pose in the middle of the action. The scene is unchanged afterwards.

    Args:
        context: gives the scene.
        armature: has an action, or a strip with one.
        origin: goes into the description.
        author: kept as it is if empty.
        tags: more than the asset's own: the clip's name and `HUND`.

    Raises:
        BadInputError: there is no action, or it is linked.
    """
    check_actions([armature])
    item = clips.action_of(armature)
    picture = _picture(context.scene, armature, middle_frame(armature, item))
    item.asset_mark()
    _describe(item, f"Motion of {armature.name}", origin, author, tags)
    clip_picture.set_preview(item, picture)
    return item


def mark_pose(
    context: bpy.types.Context,
    armature: bpy.types.Object,
    origin: Origin,
    *,
    author: str = "",
    tags: Iterable[str] = (),
) -> bpy.types.Action:
    """Make a pose asset of an armature's pose in the current frame.

    As in Blender's *Create Pose Asset*, it holds the selected bones in Pose Mode if any are
    selected; else all of them.

    Args:
        context: gives the scene and its frame.
        armature: its bones' own transforms are stored.
        origin: goes into the description.
        author: of the asset.
        tags: see `mark_action`.
    """
    frame = context.scene.frame_current
    picture = _picture(context.scene, armature, None)
    item = bpy.data.actions.new(f"Pose {frame} - {armature.name}")
    channels: action.Channels = item
    if action.HAS_SLOTS:
        slot = item.slots.new("OBJECT", armature.name)
        strip = item.layers.new("Layer").strips.new(type="KEYFRAME")
        channels = strip.channelbag(slot, ensure=True)
    for bone in _posed_bones(armature):
        path = f'pose.bones["{bpy.utils.escape_identifier(bone.name)}"]'
        for name in _channels(bone):
            values = np.array([tuple(getattr(bone, name))])
            action.write_channel(
                channels, f"{path}.{name}", np.array([1]), values, group=bone.name
            )
    item.asset_mark()
    _describe(item, f"Pose of {armature.name} in frame {frame}", origin, author, tags)
    clip_picture.set_preview(item, picture)
    return item


def check_actions(armatures: Iterable[bpy.types.Object]) -> None:
    """Check that armatures have actions that can become assets.

    Raises:
        BadInputError: there is none, or it is linked.
    """
    for armature in armatures:
        item = clips.action_of(armature)
        if item is None:
            text = rpt_("{name} has no action: apply a motion to it first.")
            raise BadInputError(texts.fill(text, name=armature.name))
        if not item.is_editable:
            text = rpt_("The action {name} is linked: make it local first.")
            raise BadInputError(texts.fill(text, name=item.name))


def middle_frame(armature: bpy.types.Object, item: bpy.types.Action) -> int:
    """Return the middle one of the frames of an action in which the armature is shown.

    It is a frame of the scene: a strip may have moved the action.
    """
    start, end = item.frame_range
    if armature.animation_data.action != item:
        strips = (s for t in armature.animation_data.nla_tracks for s in t.strips)
        strip = next(strip for strip in strips if strip.action == item)
        start, end = strip.frame_start, strip.frame_end
        return round((start + end) / 2)
    frames = range(round(start), round(end) + 1)
    visible = [f for f in frames if not absence.is_hidden(armature, f)] or list(frames)
    return visible[len(visible) // 2]


def description(subject: str, origin: Origin) -> str:
    """Return a sentence or two about where an asset comes from."""
    provenance = origin.provenance or {}
    source = provenance.get("source")
    parts = [subject]
    if origin.clip:
        parts.append(f" from {origin.clip}")
    if isinstance(source, Mapping) and source.get("sha256"):
        parts.append(f" (SHA-256 {source['sha256'][:12]}…)")
    if origin.frames:
        first, last = origin.frames
        parts.append(f", frames {first} to {last} at {origin.fps:g} frames per second")
    parts.append(".")
    if version := provenance.get("hund"):
        method = _METHODS.get(str(provenance.get("method")))
        parts.append(f" Made with HUND {version}" + (f" by {method}" if method else ""))
        if origin.confidence is not None:
            parts.append(f", confidence {100 * origin.confidence:.0f} %")
        parts.append(".")
    return "".join(parts)


def _describe(
    item: bpy.types.Action, subject: str, origin: Origin, author: str, tags: Iterable[str]
) -> None:
    data = item.asset_data
    data.description = description(subject, origin)
    if author:
        data.author = author
    words = _WORDS.findall(origin.clip.rsplit(".", 1)[0])
    for tag in dict.fromkeys(["HUND", "-".join(words), *tags]):
        if tag:
            data.tags.new(tag, skip_if_exists=True)


def _picture(scene: bpy.types.Scene, armature: bpy.types.Object, frame: int | None) -> np.ndarray:
    """Draw a character in a frame of the scene, or as it is posed now."""
    meshes = [child for child in armature.children if child.type == "MESH"]
    layer = bpy.context.view_layer
    if frame is None and all(obj.visible_get() for obj in (armature, *meshes)):
        # Without a change of the frame: it would lose a pose that has no keys.
        return clip_picture.draw(armature, bpy.context.evaluated_depsgraph_get())
    with shown.selected([armature, *meshes]):
        if frame is not None:
            scene.frame_set(frame)
        layer.update()
        return clip_picture.draw(armature, bpy.context.evaluated_depsgraph_get())


def _posed_bones(armature: bpy.types.Object) -> list[bpy.types.PoseBone]:
    bones = list(armature.pose.bones)
    if armature.mode != "POSE":
        return bones
    holders = [bone if hasattr(bone, "select") else bone.bone for bone in bones]
    return [b for b, holder in zip(bones, holders, strict=True) if holder.select] or bones


def _channels(bone: bpy.types.PoseBone) -> list[str]:
    """Return the names of a bone's transforms that are not locked."""
    names = [] if all(bone.lock_location) or bone.bone.use_connect else ["location"]
    if not all(bone.lock_rotation):
        names.append(_CHANNELS.get(bone.rotation_mode, "rotation_euler"))
    return names if all(bone.lock_scale) else [*names, "scale"]
