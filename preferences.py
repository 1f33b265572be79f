"""Preferences: settings of the machine, not of the scene."""

from pathlib import Path

import bpy

from .bridge import backend, paths
from .hund_backend import options

PACKAGE = __package__  # name of the extension


class HUND_AP_preferences(bpy.types.AddonPreferences):
    """Settings for running the backend, and the folder of its files."""

    bl_idname = __package__

    device: bpy.props.EnumProperty(
        name=options.LABELS["device"],
        description="Choose the device that computes",
        items=options.enum_items(options.DEVICES),
        default=options.DEFAULT_DEVICE,
    )
    interpreter: bpy.props.StringProperty(
        name="Python",
        description="Choose the Python that runs the reconstruction: 3.11 or later, with PyTorch "
        "and a few other packages. If empty, Blender's own Python is used",
        subtype="FILE_PATH",
        options=paths.BLEND_RELATIVE,
    )
    cache_folder: bpy.props.StringProperty(
        name="Cache Folder",
        description="Choose the folder for reconstructions. "
        "If empty, they are stored in the extension's own folder, where a relative path starts",
        subtype="DIR_PATH",
        options=paths.BLEND_RELATIVE,
    )
    threads: bpy.props.IntProperty(
        name="Threads",
        description="Limit the number of processor threads. 0 uses as many as are good",
        default=0,
        min=0,
        soft_max=64,
    )

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the preferences and the state of the installation."""
        from .panels import setup  # here: panels import this module

        setup.draw_preferences(self.layout, context, self)


def get(context: bpy.types.Context) -> HUND_AP_preferences | None:
    """Return the preferences, or None if the extension is used without being enabled."""
    addon = context.preferences.addons.get(__package__)
    return addon and addon.preferences


def settings(context: bpy.types.Context) -> backend.Settings:
    """Return the settings for starting the backend.

    Raises:
        JobError: the interpreter is relative to a .blend that was never saved.
    """
    preferences = get(context)
    interpreter = preferences.interpreter.strip() if preferences else ""
    return backend.Settings(
        interpreter=paths.resolve(interpreter) if interpreter else None,
        threads=preferences.threads if preferences else 0,
        log=log_file(),
    )


def unavailable_reason(context: bpy.types.Context) -> str | None:
    """Return why the backend cannot be started, one sentence, or None."""
    try:
        return backend.unavailable_reason(settings(context))
    except backend.JobError as error:
        return str(error)


def log_file() -> Path:
    """Return the file with the backend's log."""
    return _own_folder("logs") / "backend.log"


def cache_folder(context: bpy.types.Context) -> Path:
    """Return the folder for reconstructions, absolute.

    Raises:
        JobError: the folder is relative to a .blend that was never saved.
    """
    preferences = get(context)
    folder = preferences.cache_folder.strip() if preferences else ""
    if not folder:
        return _own_folder("reconstructions")
    return _own_folder("") / paths.resolve(folder)  # an absolute folder stays as it is


def shown_cache_folder(context: bpy.types.Context) -> Path | None:
    """Return the folder for reconstructions, or None while there is none."""
    try:
        return cache_folder(context)
    except backend.JobError:
        return None


def presets_folder() -> Path:
    """Return the folder with the user's presets of rigs."""
    return _own_folder("presets")


def _own_folder(name: str) -> Path:
    return Path(bpy.utils.extension_path_user(__package__, path=name, create=True))


def register() -> None:
    """Register the preferences."""
    bpy.utils.register_class(HUND_AP_preferences)


def unregister() -> None:
    """Unregister the preferences."""
    bpy.utils.unregister_class(HUND_AP_preferences)
