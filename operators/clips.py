"""Operators: motions as strips of the nonlinear animation and as assets."""

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ..bridge import job, ownership, paths
from .texts import fill


def selection(context) -> list[bpy.types.Object]:
    """Return the selected objects, or the active one if none is selected."""
    return list(context.selected_objects) or [obj for obj in (context.object,) if obj]


class HUND_OT_push_to_nla(bpy.types.Operator):
    """Move the motion of the selected people, rigs and cameras into strips named after the clip"""

    bl_idname = "hund.push_to_nla"
    bl_label = "Push to NLA"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        from ..bridge import clips

        if context.mode not in {"OBJECT", "POSE"}:
            reason = "This works in Object and Pose Mode"
        elif not clips.animated_objects(selection(context)):
            reason = "Select a person, a rig or a camera with an action"
        else:
            return True
        cls.poll_message_set(reason)
        return False

    def execute(self, context):
        from ..bridge import clips

        try:
            pushed = clips.push_to_nla(clips.animated_objects(selection(context)))
        except job.BadInputError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if len(pushed) == 1:
            text = fill(rpt_("{name} is a strip now"), name=pushed[0].name)
        else:
            text = fill(rpt_("{count} motions are strips now"), count=len(pushed))
        self.report({"INFO"}, text)
        return {"FINISHED"}


class HUND_OT_mark_asset(bpy.types.Operator):
    """Add the motion or the pose of the selected people and rigs to the asset browser"""

    bl_idname = "hund.mark_asset"
    bl_label = "Mark as Asset"
    bl_options = {"REGISTER", "UNDO"}

    content: bpy.props.EnumProperty(
        name="Content",
        description="Choose what becomes an asset",
        items=(
            ("ACTION", "Motion", "Mark the action, with a picture of its middle pose"),
            (
                "POSE",
                "Pose of This Frame",
                "Make a pose of the current frame, as for pose libraries",
            ),
            ("BOTH", "Motion and Pose", "Mark the action, and make a pose of the current frame"),
        ),
    )
    author: bpy.props.StringProperty(
        name="Author", description="Name the author of the assets; if empty, it is left as it is"
    )
    tags: bpy.props.StringProperty(
        name="Tags", description="Add words to search by, separated by commas"
    )

    @classmethod
    def poll(cls, context):
        if context.mode not in {"OBJECT", "POSE"}:
            reason = "This works in Object and Pose Mode"
        elif not _armatures(context):
            reason = "Select a person or a rig"
        else:
            return True
        cls.poll_message_set(reason)
        return False

    def invoke(self, context, event):
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context):
        from ..bridge import clip_assets, clips

        tags = [word.strip() for word in self.tags.split(",") if word.strip()]
        options = {"author": self.author.strip(), "tags": tags}
        armatures = _armatures(context)
        try:
            if self.content != "POSE":
                clip_assets.check_actions(armatures)
            marked = []
            for armature in armatures:
                origin = _origin(context, armature, clips.action_of(armature))
                if self.content != "POSE":
                    marked.append(clip_assets.mark_action(context, armature, origin, **options))
                if self.content != "ACTION":
                    marked.append(clip_assets.mark_pose(context, armature, origin, **options))
        except job.BadInputError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if len(marked) == 1:
            text = fill(rpt_("{name} is an asset now"), name=marked[0].name)
        else:
            text = fill(rpt_("{count} actions are assets now"), count=len(marked))
        self.report({"INFO"}, text)
        return {"FINISHED"}


def _armatures(context) -> list[bpy.types.Object]:
    """Return the armatures of the selection; the skin of a person stands for its armature."""
    found = {}
    for obj in selection(context):
        owner = obj
        while owner and owner.type != "ARMATURE":
            owner = owner.parent
        if owner:
            found[owner] = None
    return list(found)


def _origin(context, armature, action):
    """Return where a motion comes from, as far as the scene and the result's file tell."""
    from ..bridge.clip_assets import Origin

    owned = next((each for each in (action, armature) if each and ownership.is_owned(each)), None)
    result = owned and context.scene.hund.results.get(ownership.result_name(owned))
    if result is None:
        return Origin()
    provenance = None
    try:
        provenance = job.load(paths.resolve(result.filepath)).provenance
    except job.JobError:
        pass  # the file is gone: the scene knows the rest
    return Origin(
        clip=bpy.path.basename(result.clip) or result.name,
        frames=(result.first, result.first + result.frames - 1),
        fps=result.fps,
        confidence=result.confidence,
        provenance=provenance,
    )
