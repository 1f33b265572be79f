"""Operator: look through the camera of a result."""

import bpy

from ..bridge import view


class HUND_OT_look_through(bpy.types.Operator):
    """Look through the clip's camera, make it the scene's, and play the clip's frames"""

    bl_idname = "hund.look_through"
    bl_label = "Look Through Camera"
    bl_options = {"UNDO"}

    name: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def execute(self, context):
        from ..bridge import shots  # here: Blender starts faster

        scene = context.scene
        result = scene.hund.results.get(self.name)
        camera = result and shots.camera_at(scene, result.name, scene.frame_current)
        if camera is None:
            self.report({"ERROR"}, "The camera is no longer in the scene: load the result again")
            return {"CANCELLED"}
        shots.bind(scene, result.name)
        area = context.area if context.area and context.area.type == "VIEW_3D" else None
        area = area or view.largest_view(context.window)
        if area is None:
            scene.camera = camera
        else:
            view.look_through(context, area, camera)
        view.play(scene, result.start, result.end)
        return {"FINISHED"}
