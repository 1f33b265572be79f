"""Operator: stop the running reconstruction."""

import bpy

from . import reconstruct


class HUND_OT_cancel(bpy.types.Operator):
    """Stop the running reconstruction; over this panel, Escape does the same"""

    bl_idname = "hund.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context):
        status = reconstruct.status()
        if status is None:
            cls.poll_message_set("No reconstruction is running")
        elif status.stopping:
            cls.poll_message_set("The reconstruction is stopping")
        return status is not None and not status.stopping

    def invoke(self, context, event):
        return context.window_manager.invoke_confirm(
            self,
            event,
            title="Cancel the reconstruction?",
            message="What was processed so far is lost",
            confirm_text="Stop It",
            icon="QUESTION",
        )

    def execute(self, context):
        reconstruct.cancel()
        return {"FINISHED"}
