"""What the scene remembers: the clip, the options and what came out of it."""

import bpy


class HUND_PG_result(bpy.types.PropertyGroup):
    """A reconstruction that was brought into the scene; its name is the clip's."""

    filepath: bpy.props.StringProperty(subtype="FILE_PATH")
    clip: bpy.props.StringProperty(subtype="FILE_PATH")
    people: bpy.props.IntProperty()
    frames: bpy.props.IntProperty()
    confidence: bpy.props.FloatProperty()


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
