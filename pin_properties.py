"""Properties of pins: joints that were set by hand in single frames."""

import bpy


class HUND_PG_pin(bpy.types.PropertyGroup):
    """A joint that belongs to a place in a frame; its name is the bone's when it was made."""

    frame: bpy.props.IntProperty(name="Frame")  # of the scene
    person: bpy.props.IntProperty()  # index in the file
    joint: bpy.props.StringProperty()
    place: bpy.props.FloatVectorProperty(size=3)  # in the armature's space, metres
    is_solved: bpy.props.BoolProperty()


CLASSES = (HUND_PG_pin,)
