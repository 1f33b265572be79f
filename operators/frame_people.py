"""Operator: show the people of a result in full."""

import bpy

from ..bridge import view


class HUND_OT_frame_people(bpy.types.Operator):
    """Show the people of this result in the 3D View"""

    bl_idname = "hund.frame_people"
    bl_label = "Frame People"

    name: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context):
        return context.area is not None and context.area.type == "VIEW_3D"

    def execute(self, context):
        result = context.scene.hund.results.get(self.name)
        if not (result and result.characters):
            self.report({"ERROR"}, "The people are no longer in the scene: load the result again")
            return {"CANCELLED"}
        view.frame(context.area, list(result.characters.values()))
        return {"FINISHED"}
