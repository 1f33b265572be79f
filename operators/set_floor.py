"""Operator: set the floor of a result."""

import bpy

from ..bridge import floor, world


class HUND_OT_set_floor(bpy.types.Operator):
    """Move the result's people and camera together so that the chosen height is the floor, z = 0"""

    bl_idname = "hund.set_floor"
    bl_label = "Set Floor Here"
    bl_options = {"REGISTER", "UNDO"}

    source: bpy.props.EnumProperty(
        name="Height",
        description="Choose what stands on the floor",
        items=(
            (
                "PERSON",
                "Person, This Frame",
                "Use the lowest point of the active person in this frame",
            ),
            (
                "CLIP",
                "Person, All Frames",
                "Use the usual height of the active person's lowest point over the scene's frames",
            ),
            ("CURSOR", "3D Cursor", "Use the height of the 3D cursor"),
        ),
    )

    @classmethod
    def poll(cls, context):
        if floor.result_of(context.scene, context.object) is None:
            cls.poll_message_set("Select a person or the camera of a result")
            return False
        return True

    def invoke(self, context, event):
        person = floor.person_of(context.object)
        self.source = "PERSON" if person and context.object.select_get() else "CURSOR"
        return self.execute(context)

    def execute(self, context):
        collection = floor.result_of(context.scene, context.object)
        height = context.scene.cursor.location.z
        if self.source != "CURSOR":
            person = floor.person_of(context.object)
            if person is None:
                self.report({"ERROR"}, "No person is selected: select one, or use the 3D cursor.")
                return {"CANCELLED"}
            try:
                if self.source == "CLIP":
                    height = floor.usual_lowest_point(context, person)
                else:
                    height = floor.lowest_point(person, context.evaluated_depsgraph_get())
            except ValueError as error:
                self.report({"ERROR"}, str(error))
                return {"CANCELLED"}
        floor.set_floor(collection, height, world.units_per_meter(context.scene))
        return {"FINISHED"}
