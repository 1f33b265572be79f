"""Look at what the backend wrote."""

import bpy

from .. import preferences


class HUND_OT_backend_log(bpy.types.Operator):
    """Open what the backend wrote during the last reconstruction"""

    bl_idname = "hund.backend_log"
    bl_label = "Open Log"

    @classmethod
    def poll(cls, context):
        if not preferences.settings(context).log.is_file():
            cls.poll_message_set("Nothing was reconstructed yet")
            return False
        return True

    def execute(self, context):
        bpy.ops.wm.path_open(filepath=str(preferences.settings(context).log))
        return {"FINISHED"}
