"""Preferences: what belongs to the machine and not to the scene."""

from pathlib import Path

import bpy

from .bridge import backend


class HUND_AP_preferences(bpy.types.AddonPreferences):
    """Where the backend runs and where its files go."""

    bl_idname = __package__

    device: bpy.props.EnumProperty(
        name="Device",
        description="Choose what does the computing",
        items=(
            ("auto", "Automatic", "Use the graphics card where there is one, else the processor"),
            ("cpu", "Processor", "Use the processor"),
            ("cuda", "Graphics Card (CUDA)", "Use the graphics card and fail where there is none"),
        ),
        default="auto",
    )
    interpreter: bpy.props.StringProperty(
        name="Backend Interpreter",
        description="Name a Python that has PyTorch and the backend's other packages. "
        "Leave it empty to use Blender's Python with the packages that came with the extension",
        subtype="FILE_PATH",
    )
    cache_folder: bpy.props.StringProperty(
        name="Cache Folder",
        description="Choose where reconstructions are kept. "
        "Leave it empty to keep them in the extension's own folder",
        subtype="DIR_PATH",
    )
    threads: bpy.props.IntProperty(
        name="Threads",
        description="Limit how many processor threads the backend uses. 0 lets it choose",
        default=0,
        min=0,
        soft_max=64,
    )

    def draw(self, context: bpy.types.Context) -> None:
        """Show the preferences and what is wrong with them."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        for name in ("device", "interpreter", "cache_folder", "threads"):
            layout.prop(self, name)
        if obstacle := backend.obstacle(settings(context)):
            layout.label(text=obstacle, icon="ERROR")


def of(context: bpy.types.Context) -> HUND_AP_preferences | None:
    """The preferences, or None where the extension runs without being enabled."""
    addon = context.preferences.addons.get(__package__)
    return addon and addon.preferences


def settings(context: bpy.types.Context) -> backend.Settings:
    """How a job is started on this machine."""
    chosen = of(context)
    interpreter = chosen.interpreter.strip() if chosen else ""
    return backend.Settings(
        interpreter=Path(bpy.path.abspath(interpreter)) if interpreter else None,
        threads=chosen.threads if chosen else 0,
        log=_own_folder("logs") / "backend.log",
    )


def cache_folder(context: bpy.types.Context) -> Path:
    """Where reconstructions are kept."""
    chosen = of(context)
    folder = chosen.cache_folder.strip() if chosen else ""
    return Path(bpy.path.abspath(folder)) if folder else _own_folder("reconstructions")


def _own_folder(name: str) -> Path:
    return Path(bpy.utils.extension_path_user(__package__, path=name, create=True))


def register() -> None:
    """Make the preferences known to Blender."""
    bpy.utils.register_class(HUND_AP_preferences)


def unregister() -> None:
    """Take the preferences back."""
    bpy.utils.unregister_class(HUND_AP_preferences)
