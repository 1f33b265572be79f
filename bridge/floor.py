"""Floor: moves a result up or down as a whole, so that a chosen height becomes z = 0.

People and camera move by the same amount, so that they stay in place relative to each other and
in the picture. Their delta transform is used: keys stay as the reconstruction has them, stage
previews and edits on top of the motion need not know, and an offset is visible and can be edited
in the sidebar.

What the user decides is how high the camera stands above the floor. If the clip is written again,
perhaps with another estimate of the ground, the floor is set so that this height is kept.
"""

from collections.abc import Iterable
from contextlib import suppress

import bpy
import numpy as np
from mathutils import Matrix, Vector

from . import ownership

_HEIGHT = "hund_height"  # custom property of a clip's camera: metres above the estimated ground
_OFFSET = "hund_floor_offset"  # custom property of an object: metres by which it was moved up

_SAMPLES = 60  # frames that are looked at over a clip
_QUARTILE = 0.25


def result_of(scene: bpy.types.Scene, obj: bpy.types.Object | None) -> bpy.types.Collection | None:
    """Return the collection of the result that an object belongs to, or of the only result."""
    collections = list(ownership.result_collections(scene).values())
    while obj:
        for collection in collections:
            if ownership.is_owned(obj) and collection.objects.get(obj.name) == obj:
                return collection
        obj = obj.parent
    return collections[0] if len(collections) == 1 else None


def person_of(obj: bpy.types.Object | None) -> bpy.types.Object | None:
    """Return the armature of the person that an object belongs to."""
    while obj and obj.type != "ARMATURE":
        obj = obj.parent
    return obj if obj and ownership.is_owned(obj) else None


def lowest_point(armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> float:
    """Return the world height of the lowest point of a person's skin, as evaluated.

    Raises:
        ValueError: the person is hidden or has no skin.
    """
    heights = []
    for child in armature.children:
        evaluated = child.evaluated_get(depsgraph)
        if child.type == "MESH" and not child.hide_viewport and len(evaluated.data.vertices):
            vertices = np.empty(3 * len(evaluated.data.vertices), np.float32)
            evaluated.data.vertices.foreach_get("co", vertices)
            matrix = np.array(evaluated.matrix_world)
            heights.append((vertices.reshape(-1, 3) @ matrix[2, :3]).min() + matrix[2, 3])
    if not heights:
        raise ValueError(
            "The person is hidden in this frame: go to a frame that shows the person."
        )
    return float(min(heights))


def usual_lowest_point(context: bpy.types.Context, armature: bpy.types.Object) -> float:
    """Return the usual world height of a person's lowest point over the scene's frames.

    It is the lower quartile of some frames: most of them touch the floor, but not in a jump, and
    single frames may sink below it.

    Raises:
        ValueError: the person is never shown or has no skin.
    """
    scene, heights = context.scene, []
    before = scene.frame_current, scene.frame_subframe
    try:
        for frame in np.unique(np.linspace(scene.frame_start, scene.frame_end, _SAMPLES).round()):
            scene.frame_set(int(frame))
            with suppress(ValueError):  # hidden in this frame
                heights.append(lowest_point(armature, context.evaluated_depsgraph_get()))
    finally:
        scene.frame_set(before[0], subframe=before[1])
    if not heights:
        raise ValueError("The person is hidden in all frames of the scene: show the person.")
    return float(np.quantile(heights, _QUARTILE))


def set_floor(collection: bpy.types.Collection, height: float, units_per_meter: float) -> None:
    """Move a result so that a height becomes z = 0.

    Args:
        collection: of the result.
        height: in the world, in Blender units.
        units_per_meter: Blender units in a metre.
    """
    for obj in _top_objects(collection):
        _move(obj, obj.get(_OFFSET, 0.0) - height / units_per_meter, units_per_meter)


def chosen_height(collection: bpy.types.Collection | None) -> float | None:
    """Return the height of a result's camera above the floor that the user has set, in metres."""
    for obj in _top_objects(collection) if collection else ():
        if obj.type == "CAMERA" and _HEIGHT in obj and _OFFSET in obj:
            return obj[_HEIGHT] + obj[_OFFSET]
    return None


def place(
    collection: bpy.types.Collection,
    world_from_camera: np.ndarray,
    height: float | None,
    units_per_meter: float,
) -> None:
    """Move a result that was just written so that its camera has the height set by the user.

    Args:
        collection: of the result; some of its objects may have been moved before.
        world_from_camera: of the reconstruction, (frames, 4, 4).
        height: of the camera above the floor, in metres (see `chosen_height`). None: the ground
            stays where it was estimated.
        units_per_meter: Blender units in a metre.
    """
    estimated = float(world_from_camera[0, 2, 3])
    for obj in _top_objects(collection):
        if obj.type == "CAMERA":
            obj[_HEIGHT] = estimated
        if height is not None:
            _move(obj, height - estimated, units_per_meter)


def _top_objects(collection: bpy.types.Collection) -> Iterable[bpy.types.Object]:
    """Return a result's objects that no other of its objects carries along."""
    owned = {obj for obj in collection.objects if ownership.is_owned(obj)}
    return [obj for obj in owned if obj.parent not in owned]


def _move(obj: bpy.types.Object, offset: float, units_per_meter: float) -> None:
    """Move an object so that it is higher by an offset in all than it was made, in metres."""
    step = Vector((0, 0, (offset - obj.get(_OFFSET, 0.0)) * units_per_meter))
    parent = obj.parent.matrix_world @ obj.matrix_parent_inverse if obj.parent else Matrix()
    obj.delta_location += parent.to_3x3().inverted() @ step
    obj[_OFFSET] = offset
