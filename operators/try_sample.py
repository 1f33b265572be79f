"""Operator: reconstruct the clip that comes with the extension."""

import bpy

from ..bridge import sample
from . import reconstruct

_LIMITS = {"start", "end", "speed", "people"}  # options that are meant for another clip


class HUND_OT_try_sample(reconstruct.ReconstructMixin, bpy.types.Operator):
    """Reconstruct a clip of two seconds that comes with HUND, to see what it does"""

    bl_idname = "hund.try_sample"
    bl_label = "Try the Sample"
    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context):
        reason = reconstruct.backend_unavailable_reason(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def clips(self, context):
        return [sample.CLIP]

    def tasks(self, context):
        [task] = super().tasks(context)
        options = {name: value for name, value in task.options.items() if name not in _LIMITS}
        return [reconstruct.replace(task, options=options)]

    def execute(self, context):
        context.scene.hund.clip = str(sample.CLIP)
        return super().execute(context)

    def invoke(self, context, event):
        context.scene.hund.clip = str(sample.CLIP)
        return super().invoke(context, event)
