"""Command `blender --background --command hund …`: reconstructs clips without a window."""

import bpy

from .. import preferences


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    from ..bridge import headless  # here: Blender starts faster

    addon_preferences = preferences.get(bpy.context)
    return headless.main(
        arguments,
        preferences.settings(bpy.context),
        device=addon_preferences.device if addon_preferences else None,
    )
