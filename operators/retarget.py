"""Operators: apply a motion to another armature, detect its bones, save them as a preset."""

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from .. import preferences
from ..bridge import job, ownership, paths
from ..bridge.retarget.errors import RetargetError
from .texts import fill


def source_of(context) -> bpy.types.Object | None:
    """Return the chosen source, else the active armature or the only person of the results."""
    settings = context.scene.hund.retarget
    if settings.source:
        return settings.source
    active = context.object
    if active and active.type == "ARMATURE" and active != settings.target:
        return active
    people = [obj for obj in context.scene.objects if ownership.PERSON in obj]
    return people[0] if len(people) == 1 else None


class HUND_OT_retarget(bpy.types.Operator):
    """Key the motion of the source on the bones of the target, in a new action"""

    bl_idname = "hund.retarget"
    bl_label = "Apply Motion"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        settings = context.scene.hund.retarget
        if context.mode not in {"OBJECT", "POSE"}:
            reason = "This works in Object and Pose Mode"
        elif settings.target is None:
            reason = "Choose the target first"
        elif source_of(context) is None:
            reason = "Choose the armature with the motion as the source"
        else:
            return True
        cls.poll_message_set(reason)
        return False

    def execute(self, context):
        from ..bridge.retarget import apply  # here: Blender starts faster

        settings, manager = context.scene.hund.retarget, context.window_manager
        source = source_of(context)
        options = apply.Options(
            travel=settings.travel,
            root=settings.root,
            keep_contacts=settings.keep_contacts,
            controls=settings.controls,
            key_switches=settings.key_switches,
            use_locks=settings.use_locks,
        )
        manager.progress_begin(0, 100)
        try:
            applied = apply.apply_motion(
                source,
                _source_mapping(source),
                settings.target,
                settings.mapping,
                options,
                contacts=_stored_contacts(context, source),
                report=lambda share: manager.progress_update(100 * share),
            )
        except RetargetError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        finally:
            manager.progress_end()
        self.report({"INFO"}, _summary(settings.target, applied))
        return {"FINISHED"}


class HUND_OT_detect_bones(bpy.types.Operator):
    """Fill the table by the names and places of the target's bones"""

    bl_idname = "hund.detect_bones"
    bl_label = "Detect Bones"
    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context):
        return context.scene.hund.retarget.target is not None

    def execute(self, context):
        settings = context.scene.hund.retarget
        settings.detect()
        if not any(role.bone for role in settings.roles):
            self.report({"ERROR"}, settings.message)
            return {"CANCELLED"}
        return {"FINISHED"}


class HUND_OT_save_rig_preset(bpy.types.Operator):
    """Save the table as a preset of your own"""

    bl_idname = "hund.save_rig_preset"
    bl_label = "Save Preset"

    name: bpy.props.StringProperty(name="Name", description="Enter the name of the preset")

    @classmethod
    def poll(cls, context):
        return any(role.bone for role in context.scene.hund.retarget.roles)

    def invoke(self, context, event):
        self.name = self.name or context.scene.hund.retarget.target.name
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context):
        from ..bridge.retarget import presets

        settings = context.scene.hund.retarget
        try:
            path = presets.save(preferences.presets_folder(), self.name, settings.mapping)
        except RetargetError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, fill(rpt_("Preset saved to {path}."), path=path))
        return {"FINISHED"}


def _source_mapping(source: bpy.types.Object):
    """Return the mapping of a source by its names and places."""
    from ..bridge.retarget import detection, presets

    return detection.detect(source, presets.load(preferences.presets_folder())).mapping


def _stored_contacts(context, source: bpy.types.Object):
    """Return the contacts from the file that a character was made from, or None without one."""
    from ..bridge.retarget import sampling, stored_contacts

    limits = sampling.frame_range(source)
    for result in context.scene.hund.results if limits else ():
        if result.characters.get(source.get(ownership.PERSON)) != source:
            continue
        try:
            path = paths.resolve(result.filepath)
            person = source[ownership.PERSON]
            frames = sampling.whole_frames(limits)
            return stored_contacts.read(path, person, result.fps, result.start, frames)
        except job.JobError:
            return None  # the file is gone: contacts are found from the motion
    return None


def _summary(target: bpy.types.Object, applied) -> str:
    text = fill(
        rpt_("{name}: {curves} curves over {frames} frames."),
        name=target.name,
        curves=applied.curves,
        frames=applied.frames,
    )
    if applied.missing:
        from ..bridge.retarget import roles

        names = ", ".join(roles.label(role) for role in applied.missing[:4])
        text += " " + fill(rpt_("The source does not move {names}."), names=names)
    if applied.constrained:
        names = ", ".join(applied.constrained[:4])
        text += " " + fill(
            rpt_("Constraints or drivers move {names}, too: mute them to see the keys."),
            names=names,
        )
    if applied.is_hidden_by_switches:
        text += " " + rpt_("The rig's FK/IK switches show the other controls.")
    return text
