"""Reconstruct clips: in the background of the window, or waiting where there is none."""

from pathlib import Path

import bpy
from bpy.app.translations import pgettext_rpt as rpt_
from bpy_extras.io_utils import poll_file_object_drop

from .. import preferences
from ..bridge import backend, job
from . import load

TICK = 0.1  # seconds between two looks at the job
VIDEOS = ".mp4;.mov;.avi;.mkv;.webm;.m4v;.mpg;.mpeg;.ogv"
PICTURES = ".png;.jpg;.jpeg;.tif;.tiff;.webp;.bmp"

_job: job.Job | None = None
_unclaimed: list[job.Outcome] = []  # finished after another file was opened


def status() -> job.Status | None:
    """How far the running job is; None where none runs."""
    return _job.status if _job and _job.running else None


def cancel() -> None:
    """Stop the running job."""
    if _job:
        _job.cancel()


def finish() -> None:
    """Let the running job make do with the frames that it has seen."""
    if _job:
        _job.finish()


def stop() -> None:
    """End the running job at once, as the extension is going."""
    global _job
    if _job:
        _job.close()
        _job = None
    if bpy.app.timers.is_registered(_wait_for_the_job):
        bpy.app.timers.unregister(_wait_for_the_job)


def unclaimed() -> list[job.Outcome]:
    """What finished after another file was opened: nobody has seen it yet."""
    return [outcome for outcome in _unclaimed if outcome.path]


def tasks(context, clips: list[Path]) -> list[job.Task]:
    """What the panel's settings ask for."""
    settings, chosen = context.scene.hund, preferences.of(context)
    options = {"device": chosen.device, "quality": settings.quality, "overwrite": True}
    if settings.people:
        options["people"] = settings.people
    if settings.adapt:
        options["adapt"] = settings.adapt_seconds
    if settings.use_range:
        options |= {"start": settings.start, "end": settings.end}
    output = preferences.cache_folder(context)
    return [job.Task(clip=clip, output=output, options=options) for clip in clips]


class Reconstructing:
    """What the button and a drop have in common: one job, written into the scene when it ends."""

    def clips(self, context) -> list[Path]:
        raise NotImplementedError

    def execute(self, context):
        """Reconstruct and wait."""
        outcomes = []
        try:
            settings = preferences.settings(context)
            job.run(tasks(context, self.clips(context)), settings, outcomes.append)
        except job.FailedError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return self._finish(context, outcomes)

    def invoke(self, context, event):
        """Reconstruct while the user goes on working."""
        global _job
        if bpy.app.background:
            return self.execute(context)
        try:
            _job = job.Job(tasks(context, self.clips(context)), preferences.settings(context))
        except job.FailedError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        _unclaimed.clear()
        self._outcomes, self._scene = [], context.scene.name
        self._timer = context.window_manager.event_timer_add(TICK, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        if event.type == "ESC" and event.value == "PRESS":
            _job.cancel()
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        self._outcomes += _job.poll()
        _redraw(context)
        if _job.running:
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        scene = bpy.data.scenes.get(self._scene, context.scene)
        with context.temp_override(scene=scene):
            return self._finish(context, self._outcomes)

    def cancel(self, context):
        """Another file was opened: the job goes on, its result waits in the panel."""
        _unclaimed.extend(self._outcomes)
        bpy.app.timers.register(_wait_for_the_job, persistent=True)

    def _finish(self, context, outcomes):
        written = 0
        for outcome in outcomes:
            try:
                if outcome.error:
                    raise outcome.error
                self.report({"INFO"}, load.write(context, outcome.path, outcome.task.clip))
                written += 1
            except job.FailedError as error:
                kind = "INFO" if error.exit_code == job.CANCELLED else "ERROR"
                self.report({kind}, f"{outcome.task.clip.name}: {rpt_(str(error))}")
        return {"FINISHED"} if written else {"CANCELLED"}


class HUND_OT_reconstruct(Reconstructing, bpy.types.Operator):
    """Turn the people in the clip into animated characters"""

    bl_idname = "hund.reconstruct"
    bl_label = "Reconstruct"
    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context):
        reason = obstacle(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def clips(self, context):
        return [Path(bpy.path.abspath(context.scene.hund.clip))]


class HUND_OT_reconstruct_files(Reconstructing, bpy.types.Operator):
    """Turn the people in the dropped clips into animated characters"""

    bl_idname = "hund.reconstruct_files"
    bl_label = "Reconstruct Clips"
    bl_options = {"UNDO", "INTERNAL"}

    directory: bpy.props.StringProperty(subtype="DIR_PATH", options={"SKIP_SAVE", "HIDDEN"})
    files: bpy.props.CollectionProperty(
        type=bpy.types.OperatorFileListElement, options={"SKIP_SAVE", "HIDDEN"}
    )

    @classmethod
    def poll(cls, context):
        reason = backend_obstacle(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def clips(self, context):
        return [Path(self.directory, file.name) for file in self.files]

    def invoke(self, context, event):
        if self.files:
            context.scene.hund.clip = str(self.clips(context)[0])
        return super().invoke(context, event)


class HUND_FH_clip(bpy.types.FileHandler):
    """Clips dropped into the viewport"""

    bl_idname = "HUND_FH_clip"
    bl_label = "HUND: Reconstruct People"
    bl_import_operator = "hund.reconstruct_files"
    bl_file_extensions = f"{VIDEOS};{PICTURES}"

    @classmethod
    def poll_drop(cls, context):
        return poll_file_object_drop(context)


def obstacle(context) -> str | None:
    """Why the panel's clip cannot be reconstructed now."""
    clip = context.scene.hund.clip
    if not clip.strip():
        return "Choose a clip first"
    path = Path(bpy.path.abspath(clip))
    if not path.exists() and not any(sign in path.name for sign in "#*?%"):
        return "The clip does not exist"
    return backend_obstacle(context)


def backend_obstacle(context) -> str | None:
    """Why nothing can be reconstructed now."""
    if status():
        return "A reconstruction is running"
    return backend.obstacle(preferences.settings(context))


def _redraw(context):
    """Draw the sidebar anew, and not the whole scene behind it."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions:
                if area.type == "VIEW_3D" and region.type == "UI":
                    region.tag_redraw()


def _wait_for_the_job():
    if _job is None:
        return None
    _unclaimed.extend(_job.poll())
    _redraw(bpy.context)
    return TICK if _job.running else None
