"""Operators: apply motions to other armatures, detect their bones, save them as a preset."""

import math
import time

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from .. import preferences
from ..bridge import job, ownership, paths, screen
from ..bridge.retarget.errors import RetargetError
from . import keys
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


_PAUSE = 0.5  # seconds of work between two pauses
_AT_ONCE = 0.5  # seconds of work before the window shows progress
_POLL_SECONDS = 0.01
_share: float | None = None  # of the work that is done, while a motion is applied


def progress() -> float | None:
    """Return the share that is done of the motion that is being applied, or None."""
    return _share


class ApplyMixin:
    """Mixin of the operators that apply motions: in the window with progress, Escape cancels.

    The keys are written in one step at the end, so nothing is left after a cancel.
    """

    def tasks(self, context) -> list:
        raise NotImplementedError

    def execute(self, context):
        """Apply the motions and wait until it is done."""
        from ..bridge.retarget import steps

        manager = context.window_manager
        manager.progress_begin(0, 100)
        try:
            work = self._work(context, math.inf)
            applied = steps.finish(work, lambda share: manager.progress_update(100 * share))
        except RetargetError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        finally:
            manager.progress_end()
        return self._finish(applied)

    def invoke(self, context, event):
        """Apply the motions; what takes longer pauses to show its progress."""
        if bpy.app.background:
            return self.execute(context)
        try:
            self._steps = self._work(context, _PAUSE)
            clock = time.perf_counter()
            while time.perf_counter() - clock < _AT_ONCE:
                share = next(self._steps)
        except RetargetError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        except StopIteration as stop:
            return self._finish(stop.value)
        manager = context.window_manager
        self._timer = manager.event_timer_add(_POLL_SECONDS, window=context.window)
        manager.modal_handler_add(self)
        self._show(context, share)
        screen.redraw_resized()
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        """Work on; all other events wait, so that nothing changes meanwhile."""
        if event.type == "ESC" and event.value == "PRESS":
            self._leave(context)
            self.report({"INFO"}, rpt_("Cancelled: nothing is changed."))
            return {"CANCELLED"}
        if event.type != "TIMER":
            return {"RUNNING_MODAL"}
        try:
            self._show(context, next(self._steps))
        except RetargetError as error:
            self._leave(context)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        except StopIteration as stop:
            self._leave(context)
            return self._finish(stop.value)
        except BaseException:
            self._leave(context)
            raise
        return {"RUNNING_MODAL"}

    def cancel(self, context):
        """Stop when Blender closes the window or the file."""
        self._leave(context)

    def _work(self, context, pause: float):
        from ..bridge.retarget import apply, steps  # here: Blender starts faster

        settings = context.scene.hund.retarget
        options = apply.Options(
            travel=settings.travel,
            root=settings.root,
            keep_contacts=settings.keep_contacts,
            keep_hands=settings.keep_hands,
            controls=settings.controls,
            key_switches=settings.key_switches,
            use_locks=settings.use_locks,
        )
        return apply.apply_all(self.tasks(context), options, steps.Pace(pause))

    def _show(self, context, share: float) -> None:
        global _share
        _share = share
        text = fill(rpt_("Applying motion: {percent} %"), percent=round(100 * share))
        context.workspace.status_text_set(f"{text}   Esc: {rpt_('Cancel')}")
        screen.redraw()

    def _leave(self, context) -> None:
        global _share
        _share = None
        self._steps.close()
        context.window_manager.event_timer_remove(self._timer)
        if context.workspace:
            context.workspace.status_text_set(None)
        screen.redraw_resized()

    def _finish(self, applied):
        for each in applied:
            text = _summary(each)
            if bpy.context.scene.hund.retarget.reduce_keys:
                text += " " + self._reduced(each.target)
            self.report({"INFO"}, text)
        return {"FINISHED"}

    def _reduced(self, target) -> str:
        """Reduce the keys that were written; if that is impossible, they stay and it is said."""
        from ..bridge.keys.errors import KeysError

        tolerance = bpy.context.scene.hund.retarget.key_tolerance_mm
        try:
            done = keys.reduce(bpy.context, target, tolerance, keys.CONTACT_MM, None)
        except (KeysError, RetargetError) as error:
            return str(error)
        return fill(
            rpt_("{after} of {before} keys are left."), after=done.after, before=done.before
        )


class HUND_OT_retarget(ApplyMixin, bpy.types.Operator):
    """Key the motion of the source on the bones of the target, in a new action"""

    bl_idname = "hund.retarget"
    bl_label = "Apply Motion"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        settings = context.scene.hund.retarget
        reason = _mode_reason(context)
        if reason is None and settings.target is None:
            reason = "Choose the target first"
        if reason is None and source_of(context) is None:
            reason = "Choose the armature with the motion as the source"
        if reason:
            cls.poll_message_set(reason)
        return reason is None

    def tasks(self, context):
        return [_task(context, source_of(context), context.scene.hund.retarget.target)]


class HUND_OT_retarget_people(ApplyMixin, bpy.types.Operator):
    """Key the motion of each person in the table on that person's armature"""

    bl_idname = "hund.retarget_people"
    bl_label = "Apply All Motions"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        reason = _mode_reason(context)
        if reason is None and not _filled_pairs(context):
            reason = "Choose an armature for a person first"
        if reason:
            cls.poll_message_set(reason)
        return reason is None

    def tasks(self, context):
        return [_task(context, pair.person, pair.target) for pair in _filled_pairs(context)]


class HUND_OT_list_people(bpy.types.Operator):
    """Fill the table with the people of the scene; chosen armatures stay"""

    bl_idname = "hund.list_people"
    bl_label = "List People"
    bl_options = {"UNDO"}

    def execute(self, context):
        pairs = context.scene.hund.retarget.pairs
        people = [obj for obj in context.scene.objects if ownership.PERSON in obj]
        for index in reversed(range(len(pairs))):
            if pairs[index].person not in people:
                pairs.remove(index)
        listed = {pair.person for pair in pairs}
        for person in people:
            if person not in listed:
                pairs.add().person = person
        if not people:
            self.report({"ERROR"}, rpt_("The scene has no people: reconstruct or load a clip."))
            return {"CANCELLED"}
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


def _mode_reason(context) -> str | None:
    """Return why no motion can be applied in the present mode, or None."""
    if context.mode not in {"OBJECT", "POSE"}:
        return "This works in Object and Pose Mode"
    if _share is not None:
        return "A motion is being applied"
    return None


def _filled_pairs(context) -> list:
    """Return the rows of the table that have a person and an armature."""
    pairs = context.scene.hund.retarget.pairs
    return [pair for pair in pairs if pair.person and pair.target]


def _task(context, source: bpy.types.Object, target: bpy.types.Object):
    """Return the task for a source and a target; the table of bones is used for its own target."""
    from ..bridge.retarget import apply

    settings = context.scene.hund.retarget
    apply.check_target(source, target)
    return apply.Task(
        source=source,
        source_mapping=_detected(source),
        target=target,
        target_mapping=settings.mapping if target == settings.target else _detected(target),
        contacts=_stored_contacts(context, source),
    )


def _detected(armature: bpy.types.Object):
    """Return the mapping of an armature by its names and places."""
    from ..bridge.retarget import detection, presets

    return detection.detect(armature, presets.load(preferences.presets_folder())).mapping


def _stored_contacts(context, source: bpy.types.Object):
    """Return the contacts of a source's own curves, else of its file; None without either."""
    from ..bridge import contact_curves
    from ..bridge.retarget import sampling, stored_contacts

    limits = sampling.frame_range(source)
    if limits and (edited := contact_curves.read(source, sampling.whole_frames(limits))):
        return edited
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


def _summary(applied) -> str:
    text = fill(
        rpt_("{name}: {curves} curves over {frames} frames."),
        name=applied.target.name,
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
