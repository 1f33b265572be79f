"""`blender --background --command hund …`: the job for a folder of clips, without a window."""

import bpy

from .. import preferences


def run(arguments: list[str]) -> int:
    """Do what the command line says and return the exit code."""
    from ..bridge import headless  # here: Blender starts faster without

    chosen = preferences.of(bpy.context)
    return headless.main(
        arguments,
        preferences.settings(bpy.context),
        device=chosen.device if chosen else "auto",
    )
