"""Properties of a scene: the clip, the options and the results."""

from typing import TYPE_CHECKING

import bpy

from . import handlers
from .bridge.paths import BLEND_RELATIVE
from .hund_backend import options

if TYPE_CHECKING:
    from .bridge.stage_preview import Source


def _update_preview(result: "HUND_PG_result", context: bpy.types.Context) -> None:
    if result.stages and result.stage >= result.stages:
        result.stage = result.stages - 1  # calls this function again
    else:
        handlers.refresh(result.id_data)


class HUND_PG_result(bpy.types.PropertyGroup):
    """A reconstruction in the scene; its name is the clip's."""

    filepath: bpy.props.StringProperty(subtype="FILE_PATH", options=BLEND_RELATIVE)
    clip: bpy.props.StringProperty(subtype="FILE_PATH", options=BLEND_RELATIVE)
    people: bpy.props.IntProperty()
    frames: bpy.props.IntProperty()
    confidence: bpy.props.FloatProperty()
    fps: bpy.props.FloatProperty()
    start: bpy.props.IntProperty()
    stages: bpy.props.IntProperty()
    fingerprint: bpy.props.StringProperty()
    show_descent: bpy.props.BoolProperty(
        name="Show Descent",
        description="Show the poses of one stage of the descent instead of the final motion. "
        "Keyframes do not change; renders and saved files contain the final motion",
        update=_update_preview,
    )
    stage: bpy.props.IntProperty(
        name="Stage",
        description="Choose the stage: 0 is the initial pose, each later stage refines it. "
        "The final motion is made from the last stage",
        min=0,
        soft_max=4,
        update=_update_preview,
    )

    @property
    def characters(self) -> dict[int, bpy.types.Object]:
        """Armatures by the person's index in the file."""
        from .bridge import ownership

        return ownership.people(self.id_data, self.name)

    @property
    def source(self) -> "Source":
        """File and timing of the stages."""
        from .bridge.stage_preview import Source  # here: Blender starts faster

        return Source(self.filepath, self.fingerprint, self.fps, self.start)

    @property
    def unavailable_reason(self) -> str | None:
        """Why the stages cannot be shown, or None."""
        from .bridge import stage_preview

        return stage_preview.unavailable_reason(self.characters, self.source)


class HUND_PG_scene(bpy.types.PropertyGroup):
    """Settings and results of one scene."""

    clip: bpy.props.StringProperty(
        name="Clip",
        description="Choose a video, a picture or an image sequence: "
        "a folder, or a name with #### for the digits",
        subtype="FILE_PATH",
        options=BLEND_RELATIVE,
    )
    use_range: bpy.props.BoolProperty(
        name="Limit Range",
        description="Reconstruct only the frames from Start to End",
    )
    start: bpy.props.IntProperty(
        name="Start",
        description="Set the first frame of the clip to use, counted from 0",
        min=0,
    )
    end: bpy.props.IntProperty(
        name="End",
        description="Set the last frame of the clip to use, included",
        min=0,
        default=100,
    )
    people: bpy.props.IntProperty(
        name="People",
        description="Limit the number of people followed at a time, the largest. 0 follows all",
        min=0,
        soft_max=8,
    )
    quality: bpy.props.EnumProperty(
        name="Quality",
        description="Choose between speed and accuracy",
        items=options.enum_items(options.QUALITIES),
        default=options.DEFAULT_QUALITY,
    )
    adapt: bpy.props.BoolProperty(
        name="Learn This Performer",
        description="Adapt HUND to this clip before posing. The adaptation is kept only if it "
        "improves the poses; with fewer than 60 frames it has little effect",
    )
    adapt_seconds: bpy.props.IntProperty(
        name="Seconds",
        description="Limit the time for learning from a clip, in seconds",
        min=5,
        soft_max=600,
        default=round(options.ADAPT_SECONDS),
    )
    replace: bpy.props.BoolProperty(
        name="Replace Previous",
        description="Remove the previous result of this clip instead of adding another",
        default=True,
    )
    match_scene: bpy.props.BoolProperty(
        name="Match Scene to Video",
        description="Set the scene's frame rate, range and resolution to the clip's. "
        "An empty scene is always matched",
    )
    results: bpy.props.CollectionProperty(type=HUND_PG_result)


def register() -> None:
    """Register the properties."""
    bpy.utils.register_class(HUND_PG_result)
    bpy.utils.register_class(HUND_PG_scene)
    bpy.types.Scene.hund = bpy.props.PointerProperty(type=HUND_PG_scene)


def unregister() -> None:
    """Unregister the properties."""
    del bpy.types.Scene.hund
    bpy.utils.unregister_class(HUND_PG_scene)
    bpy.utils.unregister_class(HUND_PG_result)
