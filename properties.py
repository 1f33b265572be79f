"""What the scene remembers: the clip, the options and what came out of it."""

from pathlib import Path
from typing import TYPE_CHECKING

import bpy

from . import handlers

if TYPE_CHECKING:
    from .bridge.stages import Source


def _show(note: "HUND_PG_result", context: bpy.types.Context) -> None:
    if note.stages and note.stage >= note.stages:
        note.stage = note.stages - 1  # comes here again
    else:
        handlers.refresh(note.id_data)


class HUND_PG_result(bpy.types.PropertyGroup):
    """A reconstruction that was brought into the scene; its name is the clip's."""

    filepath: bpy.props.StringProperty(subtype="FILE_PATH")
    clip: bpy.props.StringProperty(subtype="FILE_PATH")
    people: bpy.props.IntProperty()
    frames: bpy.props.IntProperty()
    confidence: bpy.props.FloatProperty()
    fps: bpy.props.FloatProperty()
    start: bpy.props.IntProperty()
    stages: bpy.props.IntProperty()
    fingerprint: bpy.props.StringProperty()
    show_descent: bpy.props.BoolProperty(
        name="Show Descent",
        description="Show how HUND came to each pose instead of the finished motion. "
        "No key is changed; renders and saved files hold the finished motion",
        update=_show,
    )
    stage: bpy.props.IntProperty(
        name="Stage",
        description="Choose what is shown: 0 is the first guess, each stage betters the last, "
        "and the finished motion is made of the last ones",
        min=0,
        soft_max=4,
        update=_show,
    )

    @property
    def characters(self) -> dict[int, bpy.types.Object]:
        """Armatures by the person's index in the file."""
        from .bridge import belongings

        return belongings.people(self.id_data, self.name)

    @property
    def source(self) -> "Source":
        """Where its stages are."""
        from .bridge.stages import Source  # here: Blender starts faster without

        path = Path(bpy.path.abspath(self.filepath))
        return Source(path, self.fingerprint, self.fps, self.start)

    @property
    def obstacle(self) -> str | None:
        """Why its stages cannot be shown."""
        from .bridge import stages

        return stages.obstacle(self.characters, self.source)


class HUND_PG_scene(bpy.types.PropertyGroup):
    """The settings of one scene."""

    clip: bpy.props.StringProperty(
        name="Clip",
        description="Choose a video, a picture or one of a numbered sequence: "
        "a name with #### or a folder means the whole sequence",
        subtype="FILE_PATH",
    )
    use_range: bpy.props.BoolProperty(
        name="Limit Range",
        description="Reconstruct only some of the frames",
    )
    start: bpy.props.IntProperty(
        name="Start",
        description="Set the first frame of the clip to use, counted from 0",
        min=0,
    )
    end: bpy.props.IntProperty(
        name="End",
        description="Set the last frame of the clip to use, itself included",
        min=0,
        default=100,
    )
    people: bpy.props.IntProperty(
        name="People",
        description="Limit to this many people, the largest ones. 0 takes everybody",
        min=0,
        soft_max=8,
    )
    quality: bpy.props.EnumProperty(
        name="Quality",
        description="Choose how carefully the clip is looked at",
        items=(
            ("standard", "Standard", "Look at every frame, and polish what was found"),
            ("high", "High", "Look at body parts, too, for a truer build. Takes longer"),
            ("draft", "Draft", "Look at every second frame, for a first impression"),
        ),
        default="standard",
    )
    adapt: bpy.props.BoolProperty(
        name="Learn This Performer",
        description="Let HUND learn from this clip before it poses. "
        "What it learned is kept only if it helps; fewer than 60 frames teach too little",
    )
    adapt_seconds: bpy.props.IntProperty(
        name="Seconds",
        description="Limit how long it learns from a clip, in seconds",
        min=5,
        soft_max=600,
        default=60,
    )
    replace: bpy.props.BoolProperty(
        name="Replace Previous",
        description="Remove what an earlier run made of this clip instead of adding beside it",
        default=True,
    )
    match_scene: bpy.props.BoolProperty(
        name="Match Scene to Video",
        description="Set the scene's frame rate, range and picture size to the clip's. "
        "An empty scene is always matched",
    )
    results: bpy.props.CollectionProperty(type=HUND_PG_result)


def register() -> None:
    """Make the properties known to Blender."""
    bpy.utils.register_class(HUND_PG_result)
    bpy.utils.register_class(HUND_PG_scene)
    bpy.types.Scene.hund = bpy.props.PointerProperty(type=HUND_PG_scene)


def unregister() -> None:
    """Take the properties back."""
    del bpy.types.Scene.hund
    bpy.utils.unregister_class(HUND_PG_scene)
    bpy.utils.unregister_class(HUND_PG_result)
