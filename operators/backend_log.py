"""Operator: open the backend's log."""

import bpy

from .. import preferences


class HUND_OT_backend_log(bpy.types.Operator):
    """Open the backend's log of the last reconstruction"""

    bl_idname = "hund.backend_log"
    bl_label = "Open Log"

    @classmethod
    def poll(cls, context):
        if not preferences.log_file().is_file():
            cls.poll_message_set("There is no log yet: run a reconstruction first")
            return False
        return True

    def execute(self, context):
        bpy.ops.wm.path_open(filepath=str(preferences.log_file()))
        return {"FINISHED"}
