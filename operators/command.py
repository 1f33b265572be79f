"""Command `blender --background --command hund …`: reconstructs clips without a window."""

import logging

import bpy

from .. import preferences
from ..bridge import job

log = logging.getLogger(__name__)


def run(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    from ..bridge import headless  # here: Blender starts faster

    addon_preferences = preferences.get(bpy.context)
    try:
        settings = preferences.settings(bpy.context)
    except job.JobError as error:
        log.error("%s", error)
        return error.exit_code
    return headless.main(
        arguments,
        settings,
        device=addon_preferences.device if addon_preferences else None,
        presets_folder=preferences.presets_folder() if addon_preferences else None,
    )
