"""Operator: set the first or last frame to reconstruct from the playhead."""

import bpy


class HUND_OT_set_range(bpy.types.Operator):
    """Set this limit to the frame of the clip at the playhead"""

    bl_idname = "hund.set_range"
    bl_label = "Set from Playhead"
    bl_options = {"UNDO"}

    limit: bpy.props.EnumProperty(
        name="Limit",
        description="Choose the limit",
        items=(
            ("start", "Start", "Set the first frame"),
            ("end", "End", "Set the last frame"),
        ),
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, context, properties):
        if properties.limit == "start":
            return "Set the first frame of the clip to the one at the playhead"
        return "Set the last frame of the clip to the one at the playhead"

    @classmethod
    def poll(cls, context):
        card = context.scene.hund.card
        if card is None or not card.fps:
            cls.poll_message_set("The length of the clip is not known")
            return False
        return True

    def execute(self, context):
        from ..bridge import playhead  # here: Blender starts faster

        settings = context.scene.hund
        start, first = settings.start_frame, 0
        if result := settings.result_of_clip:
            start, first = result.start, result.first
        frame = playhead.clip_frame(context.scene, settings.card, start, first)
        settings.use_range = True
        if self.limit == "start":
            settings.start, settings.end = frame, max(settings.end, frame)
        else:
            settings.start, settings.end = min(settings.start, frame), frame
        return {"FINISHED"}
