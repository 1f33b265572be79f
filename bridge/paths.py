"""Paths of properties, preferences and the command line."""

from pathlib import Path

import bpy

from ..hund_backend.errors import ExitCode
from .backend import JobError

# Options of a property whose path may start with //. Blender 4.5 has introduced the option and
# warns where it is missing; earlier versions refuse it.
BLEND_RELATIVE = {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set()


def resolve(path: str) -> Path:
    """Return a path; if it starts with //, it is resolved against the folder of the open .blend.

    Raises:
        JobError: the path starts with //, but the .blend was never saved.
    """
    if path.startswith("//") and not bpy.data.filepath:
        message = f"{path} is relative to the .blend: save the file first."
        raise JobError(message, ExitCode.BAD_INPUT)
    return Path(bpy.path.abspath(path))
