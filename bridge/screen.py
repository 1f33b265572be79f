"""Screen: where HUND's panel is, and its redraw."""

from collections.abc import Iterator

import bpy

TAB = "HUND"  # of the sidebar
_RESIZE_SECONDS = 0.1


def redraw() -> None:
    """Redraw the sidebars that show HUND, the preferences and the status bars, but no scene."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions:
                is_preferences = area.type == "PREFERENCES" and region.type == "WINDOW"
                if is_preferences or _shows_panel(area, region):
                    region.tag_redraw()
    # Status bars belong to no screen; they listen to this message.
    bpy.msgbus.publish_rna(key=(bpy.types.Window, "view_layer"))


def redraw_resized() -> None:
    """Redraw twice: Blender places panels by their heights in the drawing before."""
    redraw()
    bpy.app.timers.register(redraw, first_interval=_RESIZE_SECONDS)


def is_over_panel(window: bpy.types.Window, x: int, y: int) -> bool:
    """Return whether a position is over a sidebar that shows HUND, or the status bar.

    Args:
        window: has the position.
        x: pixels from the window's left edge.
        y: pixels from its lower edge.
    """
    if y < min((area.y for area in window.screen.areas), default=0):
        return True  # below all areas there is only the status bar
    return any(
        region.x <= x < region.x + region.width and region.y <= y < region.y + region.height
        for region in _panels(window)
    )


def _panels(window: bpy.types.Window) -> Iterator[bpy.types.Region]:
    for area in window.screen.areas:
        yield from (region for region in area.regions if _shows_panel(area, region))


def _shows_panel(area: bpy.types.Area, region: bpy.types.Region) -> bool:
    if area.type != "VIEW_3D" or region.type != "UI" or region.width <= 1:
        return False
    return region.active_panel_category == TAB
