"""3D View: looks through a camera or at people."""

from collections.abc import Sequence

import bpy
from mathutils import Vector

_MARGIN = 1.3  # of the distance at which the people fill the view


def largest_view(window: bpy.types.Window | None) -> bpy.types.Area | None:
    """Return the largest 3D View of a window, None if it has none."""
    areas = [area for area in window.screen.areas if area.type == "VIEW_3D"] if window else []
    return max(areas, key=lambda area: area.width * area.height, default=None)


def look_through(
    context: bpy.types.Context, area: bpy.types.Area, camera: bpy.types.Object
) -> None:
    """Make a camera the scene's, look through it and center its frame in the view."""
    context.scene.camera = camera
    space = area.spaces.active
    space.use_local_camera = False
    space.region_3d.view_perspective = "CAMERA"
    region = next(region for region in area.regions if region.type == "WINDOW")
    with context.temp_override(area=area, region=region):
        bpy.ops.view3d.view_center_camera()


def frame(area: bpy.types.Area, objects: Sequence[bpy.types.Object]) -> None:
    """Show objects in full, from the direction of the present view. The selection is kept."""
    corners = [obj.matrix_world @ Vector(corner) for obj in objects for corner in obj.bound_box]
    if not corners:
        return
    lowest, highest = (
        Vector(choose(corner[axis] for corner in corners) for axis in range(3))
        for choose in (min, max)
    )
    view, space = area.spaces.active.region_3d, area.spaces.active
    if view.view_perspective == "CAMERA":
        view.view_perspective = "PERSP"
    view.view_location = (lowest + highest) / 2
    # A lens of 50 mm sees 0.72 m at 1 m: Blender's viewport takes a sensor of 36 mm twice as wide.
    view.view_distance = _MARGIN * (highest - lowest).length * space.lens / 72


def play(scene: bpy.types.Scene, start: int, end: int) -> None:
    """Let the playback repeat these frames; the range that is rendered stays as it is."""
    scene.use_preview_range = (scene.frame_start, scene.frame_end) != (start, end)
    if scene.use_preview_range:
        scene.frame_preview_start, scene.frame_preview_end = start, end
    if not start <= scene.frame_current <= end:
        scene.frame_set(start)
