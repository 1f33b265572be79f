"""Operator: stop reading frames and finish with those processed."""

import bpy

from . import reconstruct


class HUND_OT_finish(bpy.types.Operator):
    """Stop reading frames and make the characters from those processed so far"""

    bl_idname = "hund.finish"
    bl_label = "Stop and Keep"

    @classmethod
    def poll(cls, context):
        status = reconstruct.status()
        if status is None:
            reason = "No reconstruction is running"
        elif status.stopping:
            reason = "The reconstruction is stopping"
        elif status.finishing:
            reason = "The reconstruction is already finishing"
        elif not status.is_detecting:
            reason = "This works only while frames are being read"
        else:
            return True
        cls.poll_message_set(reason)
        return False

    def execute(self, context):
        reconstruct.finish()
        return {"FINISHED"}
