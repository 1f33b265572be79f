"""Clips: strips and assets made of the actions of people, cameras and other armatures."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ..hund_backend.errors import BadInputError
from . import action, edits, ownership, texts

_MIN_LENGTH = 1.0  # frames of a strip; an action with keys in one frame has none


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What *Push to NLA* has made."""

    name: str  # of the strips
    objects: tuple[bpy.types.Object, ...]
    start: float  # frames in the scene
    end: float


def animated_objects(objects: Iterable[bpy.types.Object]) -> list[bpy.types.Object]:
    """Return the armatures and cameras of a selection that have an action, each once.

    The skin of a person stands for its armature.
    """
    found: dict[bpy.types.Object, None] = {}
    for obj in objects:
        owner = obj
        while owner and owner.type not in {"ARMATURE", "CAMERA"}:
            owner = owner.parent
        if owner and any(holder.action for _, holder in _animations(owner)):
            found[owner] = None
    return list(found)


def push_to_nla(objects: Iterable[bpy.types.Object]) -> list[Pushed]:
    """Move the actions of armatures and cameras into strips of new NLA tracks.

    What belongs together (bones, visibility, skin, shape keys, lens) gets strips with one name and
    one range, so that they can be moved and repeated alike. The actions are kept as they are, and
    the strips evaluate to the same values in every frame; before their keys, strips in tracks below
    show.

    Args:
        objects: see `animated_objects`.

    Raises:
        BadInputError: an object is linked, or its strip is being tweaked. Nothing is changed then.
    """
    groups = {obj: [pair for pair in _animations(obj) if pair[1].action] for obj in objects}
    for obj, pairs in groups.items():
        for datablock, animation in pairs:
            if not datablock.is_editable:
                text = rpt_("{name} is linked: make it local first.")
                raise BadInputError(texts.fill(text, name=datablock.name))
            if animation.use_tweak_mode:
                text = rpt_("A strip of {name} is being tweaked: leave Tweak Mode first.")
                raise BadInputError(texts.fill(text, name=obj.name))
    return [_push(obj, pairs) for obj, pairs in groups.items()]


def clip_name(obj: bpy.types.Object, item: bpy.types.Action) -> str:
    """Return the name of an action's clip: that of its result, else the action's own."""
    if ownership.is_owned(item):
        return ownership.result_name(item)
    if ownership.is_owned(obj) and obj.type == "CAMERA":
        return ownership.result_name(obj)
    return item.name


def action_of(obj: bpy.types.Object) -> bpy.types.Action | None:
    """Return the action that animates an object: its own, else that of its topmost strip."""
    animation = obj.animation_data
    if animation is None:
        return None
    in_strips = [
        strip.action
        for track in reversed(animation.nla_tracks)
        if not track.mute
        for strip in track.strips
        if strip.action
    ]
    return animation.action or next(iter(in_strips), None)


def _animations(obj: bpy.types.Object) -> Iterator[tuple[bpy.types.ID, bpy.types.AnimData]]:
    """Yield an armature or a camera and all that moves with it, with their animation."""
    datablocks: list[bpy.types.ID | None] = [obj, obj.data]
    for child in obj.children if obj.type == "ARMATURE" else ():
        if child.type == "MESH":
            datablocks += [child, child.data.shape_keys]
    for datablock in datablocks:
        if datablock and datablock.animation_data:
            yield datablock, datablock.animation_data


def _push(obj: bpy.types.Object, pairs: list[tuple[bpy.types.ID, bpy.types.AnimData]]) -> Pushed:
    actions = {animation.action for _, animation in pairs}
    start = min(item.frame_range[0] for item in actions)
    end = max(*(item.frame_range[1] for item in actions), start + _MIN_LENGTH)
    name = clip_name(obj, pairs[0][1].action)
    for _, animation in pairs:
        _add_strip(animation, name, start, end)
    return Pushed(name=name, objects=(obj,), start=start, end=end)


def _add_strip(animation: bpy.types.AnimData, name: str, start: float, end: float) -> None:
    """Move the action of a datablock into a strip of its own track, on top."""
    item = animation.action
    slot = animation.action_slot if action.HAS_SLOTS else None
    blending, influence = animation.action_blend_type, animation.action_influence
    extrapolation = animation.action_extrapolation
    if extrapolation == "HOLD" and any(edits.strips(animation)):
        # An action that holds its first pose would hide the strips below before its start.
        extrapolation = "HOLD_FORWARD"
    track = animation.nla_tracks.new()
    track.name = name
    strip = track.strips.new(name, int(start), item)
    strip.name = name
    if slot:
        strip.action_slot = slot
    strip.action_frame_start, strip.action_frame_end = start, end
    strip.frame_start, strip.frame_end = start, end
    strip.extrapolation, strip.blend_type = extrapolation, blending
    if influence != 1:
        strip.use_animated_influence, strip.influence = True, influence
    animation.action = None
