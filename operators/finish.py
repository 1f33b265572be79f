"""End the running reconstruction early and keep what it has seen."""

import bpy

from . import reconstruct


class HUND_OT_finish(bpy.types.Operator):
    """Stop looking and make the characters of the frames seen so far"""

    bl_idname = "hund.finish"
    bl_label = "Stop and Keep"

    @classmethod
    def poll(cls, context):
        status = reconstruct.status()
        if status is None:
            reason = "Nothing is running"
        elif status.stopping:
            reason = "It is being stopped"
        elif status.finishing:
            reason = "The frames seen so far are being used already"
        elif status.stage != "look" or not status.done:
            reason = "This is possible while it looks at the clip"
        else:
            return True
        cls.poll_message_set(reason)
        return False

    def execute(self, context):
        reconstruct.finish()
        return {"FINISHED"}
