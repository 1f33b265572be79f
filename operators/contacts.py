"""Operators: contact curves of an armature's feet, and feet locked by them."""

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from .. import preferences
from ..bridge.retarget.errors import RetargetError
from . import texts
from .texts import fill


def contact_paths(armature) -> list[tuple[str, str, str]]:
    """Return part of the foot, side and path of each contact of an armature; none without."""
    from ..bridge import contact_curves  # here: Blender starts faster

    if armature is None or armature.type != "ARMATURE" or not contact_curves.are_on(armature):
        return []
    named = [(part.split("_"), contact_curves.data_path(part)) for part in contact_curves.PARTS]
    return [(name, side, path) for (name, side), path in named]


def has_motion(armature) -> bool:
    """Return whether an object is an armature with an action."""
    is_armature = armature is not None and armature.type == "ARMATURE"
    return bool(is_armature and armature.animation_data and armature.animation_data.action)


def _poll(cls, context) -> bool:
    if context.mode not in {"OBJECT", "POSE"}:
        cls.poll_message_set("This works in Object and Pose Mode")
        return False
    if not has_motion(context.object):
        cls.poll_message_set("Select an armature with an action")
        return False
    return True


def _mapping(context, armature):
    """Return the mapping of the target's table, or what names and places tell."""
    from ..bridge.retarget import detection, presets

    settings = context.scene.hund.retarget
    if settings.target == armature and any(role.bone for role in settings.roles):
        return settings.mapping
    return detection.detect(armature, presets.load(preferences.presets_folder())).mapping


class HUND_OT_add_contacts(bpy.types.Operator):
    """Add the contacts of heels and toes to the active armature, as properties with keys"""

    bl_idname = "hund.add_contacts"
    bl_label = "Add Contact Curves"
    bl_options = {"REGISTER", "UNDO"}

    source: bpy.props.EnumProperty(
        name="From",
        description="Choose where the contacts come from",
        items=(
            (
                "SOURCE",
                "Source",
                (
                    "Copy those of the armature that the motion was made from, or find them in "
                    "the motion"
                ),
            ),
            ("MOTION", "Motion", "Find them by the height and the speed of the feet"),
        ),
    )

    @classmethod
    def poll(cls, context):
        return _poll(cls, context)

    def execute(self, context):
        from ..bridge.retarget import lock_feet

        armature = context.object
        try:
            count = lock_feet.add_contacts(
                armature, _mapping(context, armature), use_source=self.source == "SOURCE"
            )
        except RetargetError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report(
            {"INFO"}, fill(rpt_("{name}: {count} contacts."), name=armature.name, count=count)
        )
        return {"FINISHED"}


class HUND_OT_lock_feet(bpy.types.Operator):
    """Solve the legs of the active armature again so that its feet stay where they touch"""

    bl_idname = "hund.lock_feet"
    bl_label = "Lock Feet"
    bl_options = {"REGISTER", "UNDO"}

    span: bpy.props.EnumProperty(
        name="Frames",
        description="Choose the frames",
        items=(
            ("ACTION", "Whole Action", "Lock the feet in all frames of the action"),
            (
                "SCENE",
                "Scene or Preview Range",
                "Lock them in the preview range if there is one, else in the range of the scene",
            ),
        ),
    )

    @classmethod
    def poll(cls, context):
        return _poll(cls, context)

    def execute(self, context):
        from ..bridge.retarget import lock_feet

        armature, manager = context.object, context.window_manager
        manager.progress_begin(0, 100)
        try:
            locked = lock_feet.lock_feet(
                armature,
                _mapping(context, armature),
                self._limits(context.scene),
                lambda share: manager.progress_update(100 * share),
            )
        except RetargetError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        finally:
            manager.progress_end()
        if not locked.runs:
            self.report({"WARNING"}, "The feet never touch the ground: edit the contacts.")
            return {"CANCELLED"}
        frames = texts.frames(locked.frames)
        text = fill(
            rpt_("{name}: feet locked, new keys on {frames}."), name=armature.name, frames=frames
        )
        self.report({"INFO"}, text)
        return {"FINISHED"}

    def _limits(self, scene) -> tuple[int, int] | None:
        if self.span == "ACTION":
            return None
        if scene.use_preview_range:
            return scene.frame_preview_start, scene.frame_preview_end
        return scene.frame_start, scene.frame_end


CLASSES = (HUND_OT_add_contacts, HUND_OT_lock_feet)
