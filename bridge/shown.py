"""Shown objects: what must be visible and selected for a while, whatever hides it."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import bpy

from ..hund_backend.errors import BadInputError
from . import action

_HIDING = ("hide_viewport", "hide_render", "hide_select")  # properties of an object


@contextmanager
def selected(objects: Sequence[bpy.types.Object]) -> Iterator[None]:
    """Show and select these objects alone; the first one is active.

    Exporters skip hidden objects, and leave the scene half changed when they fail. Afterwards
    visibility, selection, frame, actions and rest poses are as they were.

    Raises:
        BadInputError: an object cannot be selected.
    """
    with ExitStack() as restore:  # in reverse order
        restore.callback(_select, *_selection())
        _add_to_shown_collection(objects, restore)
        _keep_hiding(restore)
        scene = bpy.context.scene
        restore.callback(scene.frame_set, scene.frame_current, subframe=scene.frame_subframe)
        for obj in objects:
            _keep_animation(obj, restore)
            _show(obj, restore)
        _select(objects, objects[0])
        if missing := set(objects) ^ set(bpy.context.selected_objects):
            names = ", ".join(sorted(obj.name for obj in missing))
            raise BadInputError(
                f"The wrong objects are selected for the export ({names}): show them all in the "
                "viewport."
            )
        yield


def _selection() -> tuple[list[bpy.types.Object], bpy.types.Object | None]:
    """Return the selected objects and the active one."""
    layer = bpy.context.view_layer
    layer.update()
    return [item for item in layer.objects if item.select_get()], layer.objects.active


def _select(objects: Sequence[bpy.types.Object], active: bpy.types.Object | None) -> None:
    """Select objects, deselect all others, and set the active one."""
    layer = bpy.context.view_layer
    layer.update()  # else Blender may rebuild it while its objects are iterated over
    for item in layer.objects:
        item.select_set(item in objects)
    layer.objects.active = active


def _add_to_shown_collection(objects: Sequence[bpy.types.Object], restore: ExitStack) -> None:
    """Add objects to a temporary collection: their own ones may be hidden or excluded."""
    collection = bpy.data.collections.new("Export")
    restore.callback(bpy.data.collections.remove, collection)
    for obj in objects:
        collection.objects.link(obj)
    bpy.context.scene.collection.children.link(collection)
    bpy.context.view_layer.update()


def _keep_hiding(restore: ExitStack) -> None:
    """Restore what is hidden, of all objects."""
    for item in bpy.context.view_layer.objects:
        for name in _HIDING:
            restore.callback(setattr, item, name, getattr(item, name))
        restore.callback(item.hide_set, item.hide_get())


def _keep_animation(obj: bpy.types.Object, restore: ExitStack) -> None:
    """Restore what exporters change of an object while they sample its motion."""
    for datablock in (obj, obj.data, getattr(obj.data, "shape_keys", None)):
        if animation := datablock and datablock.animation_data:
            restore.callback(_set_action, animation, *_action_of(animation))
    if obj.type == "ARMATURE":
        restore.callback(setattr, obj.data, "pose_position", obj.data.pose_position)
    for modifier in obj.modifiers:
        for name in ("show_viewport", "show_render"):
            restore.callback(setattr, modifier, name, getattr(modifier, name))


def _action_of(
    animation: bpy.types.AnimData,
) -> tuple[bpy.types.Action | None, "bpy.types.ActionSlot | None"]:
    return animation.action, animation.action_slot if action.HAS_SLOTS else None


def _set_action(
    animation: bpy.types.AnimData,
    previous: bpy.types.Action | None,
    slot: "bpy.types.ActionSlot | None",
) -> None:
    if animation.action != previous:
        animation.action = previous
    if action.HAS_SLOTS and animation.action_slot != slot:
        animation.action_slot = slot


def _show(obj: bpy.types.Object, restore: ExitStack) -> None:
    """Show an object at all frames: mute the curves that hide it."""
    if animation := obj.animation_data:
        strips = [strip for track in animation.nla_tracks for strip in track.strips]
        actions = {holder.action for holder in (animation, *strips)} - {None}
        curves = [*animation.drivers, *(c for item in actions for c in action.fcurves(item))]
        for curve in curves:
            if curve.data_path in _HIDING:
                restore.callback(setattr, curve, "mute", curve.mute)
                curve.mute = True
    for name in _HIDING:
        setattr(obj, name, False)
    obj.hide_set(False)
