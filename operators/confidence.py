"""Operators: markers of doubtful spans, and the way from one to the next."""

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ..bridge import confidence, doubt_markers, selection, timeline
from .texts import fill


def people(context) -> list[bpy.types.Object]:
    """Return the active person, or all people of the scene if it is none."""
    if confidence.has_any(context.object):
        return [context.object]
    return [obj for obj in context.scene.objects if confidence.has_any(obj)]


def _doubts(context) -> list[tuple[bpy.types.Object, confidence.Doubt]]:
    fps, low = timeline.fps_of(context.scene), context.scene.hund.low_confidence
    found = [
        (armature, doubt)
        for armature in people(context)
        for doubt in confidence.doubtful_spans(armature, fps, low)
    ]
    return sorted(found, key=lambda pair: pair[1][:2])


def _poll(cls, context) -> bool:
    if not people(context):
        cls.poll_message_set("There is no person with confidences: load a reconstruction again")
        return False
    return True


class HUND_OT_mark_doubts(bpy.types.Operator):
    """Mark on the timeline where people are doubtful, the active person or all"""

    bl_idname = "hund.mark_doubts"
    bl_label = "Mark Doubtful Spans"
    bl_options = {"REGISTER", "UNDO"}

    remove: bpy.props.BoolProperty(
        name="Remove", description="Remove the markers", options={"SKIP_SAVE"}
    )

    @classmethod
    def description(cls, context, properties):
        return "Remove the markers of doubtful spans" if properties.remove else cls.__doc__

    @classmethod
    def poll(cls, context):
        return _poll(cls, context)

    def execute(self, context):
        if self.remove:
            doubt_markers.remove(context.scene)
            return {"FINISHED"}
        count = doubt_markers.add(context.scene, _doubts(context))
        if count == 1:
            self.report({"INFO"}, "1 doubtful span.")
        else:
            self.report({"INFO"}, fill(rpt_("{count} doubtful spans."), count=count))
        return {"FINISHED"}


class HUND_OT_next_doubt(bpy.types.Operator):
    """Go to the next doubtful span and select its least certain bone"""

    bl_idname = "hund.next_doubt"
    bl_label = "Next Doubtful Span"
    bl_options = {"UNDO"}

    backward: bpy.props.BoolProperty(
        name="Backward", description="Go to the previous one", options={"SKIP_SAVE"}
    )

    @classmethod
    def description(cls, context, properties):
        if properties.backward:
            return "Go to the previous doubtful span and select its least certain bone"
        return cls.__doc__

    @classmethod
    def poll(cls, context):
        return _poll(cls, context)

    def execute(self, context):
        found = _doubts(context)
        frame = context.scene.frame_current
        doubt = confidence.nearest([d for _, d in found], frame, forward=not self.backward)
        if doubt is None:
            way = "before" if self.backward else "after"
            text = {
                "before": "There is no doubtful span before this frame.",
                "after": "There is no doubtful span after this frame.",
            }[way]
            self.report({"INFO"}, text)
            return {"CANCELLED"}
        armature = next(obj for obj, each in found if each == doubt)
        context.scene.frame_set(doubt.first)
        selection.activate_bone(armature, doubt.bone)
        text = rpt_("{name}: frames {first} to {last}, {parts}.")
        parts = ", ".join(doubt.parts)
        self.report(
            {"INFO"},
            fill(text, name=armature.name, first=doubt.first, last=doubt.last, parts=parts),
        )
        return {"FINISHED"}


CLASSES = (HUND_OT_mark_doubts, HUND_OT_next_doubt)
