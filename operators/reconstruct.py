"""Operators: reconstruct clips, in the background or, without a window, waiting for the result."""

from dataclasses import replace
from pathlib import Path

import bpy
from bpy.app.translations import pgettext_rpt as rpt_
from bpy_extras.io_utils import poll_file_object_drop

from .. import preferences
from ..bridge import job, paths, screen
from . import load
from .texts import fill

POLL_SECONDS = 0.1  # between two polls of the job
VIDEOS = ".mp4;.mov;.avi;.mkv;.webm;.m4v;.mpg;.mpeg;.ogv"
PICTURES = ".png;.jpg;.jpeg;.tif;.tiff;.webp;.bmp"

_job: job.Job | None = None
_is_waiting = False  # for Object or Pose Mode, to write the outcomes
_drawn: tuple[object, ...] = ()  # what the panels show of the progress
_unclaimed: list[job.Outcome] = []  # finished after another file was opened
_errors: list[str] = []  # of the last job, for the panel


def status() -> job.Status | None:
    """Return the progress of the running job, or None."""
    return _job.status if _job and _job.running else None


def is_waiting() -> bool:
    """Return whether the results wait for the user to leave a mode such as Edit Mode."""
    return _is_waiting


def ask_to_cancel() -> None:
    """Ask the user whether to stop the running job."""
    if bpy.ops.hund.cancel.poll():
        bpy.ops.hund.cancel("INVOKE_DEFAULT")


def cancel() -> None:
    """Stop the running job."""
    if _job:
        _job.cancel()


def finish() -> None:
    """Let the running job stop reading frames and finish with those processed."""
    if _job:
        _job.finish()


def stop() -> None:
    """Kill the running job when the extension is disabled."""
    global _job, _is_waiting
    _is_waiting = False
    if _job:
        _job.close()
        _job = None
    if bpy.app.timers.is_registered(_poll_job):
        bpy.app.timers.unregister(_poll_job)


def last_errors() -> list[str]:
    """Return what went wrong in the last job, in sentences."""
    return _errors


def unclaimed() -> list[job.Outcome]:
    """Return the results that were not written because another file was opened."""
    return [each for each in _unclaimed if each.path and each.task.command != "people"]


def make_tasks(context, clips: list[Path]) -> list[job.Task]:
    """Make the tasks for clips with the panel's settings."""
    settings, addon_preferences = context.scene.hund, preferences.get(context)
    options = {
        "device": addon_preferences.device,
        "quality": settings.quality,
        "smoothing": settings.smoothing,
        "keep_evidence": True,
        "overwrite": True,
    }
    if settings.people:
        options["people"] = settings.people
    options["method"] = settings.method
    for name in ("hands", "face"):
        if not getattr(settings, name):
            options[name] = False  # else the quality decides
    if settings.adapt and settings.method == "hund":
        options["adapt"] = settings.adapt_seconds
    options |= frame_range(settings)
    output = preferences.cache_folder(context)
    return [job.Task(clip=clip, output=output, options=options) for clip in clips]


def frame_range(settings) -> dict[str, float]:
    """Return the options that limit a clip to the panel's range, and its speed."""
    limits = {"start": settings.start, "end": settings.end} if settings.use_range else {}
    return limits | ({"speed": settings.speed} if settings.use_speed else {})


class JobMixin:
    """Mixin of the operators that run a job and write its outcomes into the scene."""

    def tasks(self, context) -> list[job.Task]:
        """Return the tasks of the job.

        Raises:
            JobError: there is something wrong with the settings.
        """
        raise NotImplementedError

    def write(self, context, outcome) -> str:
        """Write an outcome into the scene; return a message for the user.

        Raises:
            JobError: it cannot be written.
        """
        raise NotImplementedError

    def execute(self, context):
        """Run the job and wait until it is done."""
        outcomes = []
        _errors.clear()
        try:
            settings = preferences.settings(context)
            job.run(self.tasks(context), settings, outcomes.append)
        except job.JobError as error:
            return self._fail(error)
        return self._finish(context, outcomes)

    def invoke(self, context, event):
        """Run the job in the background; without a window, wait."""
        global _job
        if bpy.app.background:
            return self.execute(context)
        _errors.clear()
        try:
            _job = job.Job(self.tasks(context), preferences.settings(context))
        except job.JobError as error:
            return self._fail(error)
        _unclaimed.clear()
        self._outcomes, self._scene = [], context.scene.name
        self._timer = context.window_manager.event_timer_add(POLL_SECONDS, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        global _is_waiting
        is_escape = event.type == "ESC" and event.value == "PRESS" and not _is_waiting
        # Elsewhere, Escape stops the playback or closes a menu.
        if is_escape and screen.is_over_panel(context.window, event.mouse_x, event.mouse_y):
            ask_to_cancel()
            return {"RUNNING_MODAL"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        self._outcomes += _job.poll()
        # In Edit Mode and the like, undo cannot take back what is added to the file.
        _is_waiting = not _job.running and context.mode not in {"OBJECT", "POSE"}
        _redraw()
        if _job.running or _is_waiting:
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        scene = bpy.data.scenes.get(self._scene, context.scene)
        with context.temp_override(scene=scene):
            return self._finish(context, self._outcomes)

    def cancel(self, context):
        """Continue after another file was opened; the panel offers the outcomes then."""
        global _is_waiting
        _is_waiting = False
        _unclaimed.extend(self._outcomes)
        bpy.app.timers.register(_poll_job, persistent=True)

    def _finish(self, context, outcomes):
        written = 0
        for outcome in outcomes:
            try:
                if outcome.error:
                    raise outcome.error
                self.report({"INFO"}, self.write(context, outcome))
                written += 1
            except job.JobError as error:
                kind = "INFO" if error.exit_code == job.ExitCode.CANCELLED else "ERROR"
                message = _message(outcome.task.clip.name, error)
                self.report({kind}, message)
                if kind == "ERROR":
                    _errors.append(message)
        return {"FINISHED"} if written else {"CANCELLED"}

    def _fail(self, error):
        """Report an error that ends the work, and keep it for the panel."""
        self.report({"ERROR"}, str(error))
        _errors.append(rpt_(str(error)))
        return {"CANCELLED"}


class ReconstructMixin(JobMixin):
    """Mixin of the operators that reconstruct clips."""

    def clips(self, context) -> list[Path]:
        """Return the clips."""
        raise NotImplementedError

    def tasks(self, context):
        return make_tasks(context, self.clips(context))

    def write(self, context, outcome):
        """Write an outcome without a question: the user may be in the middle of work."""
        existing = context.scene.hund.existing
        return load.write(context, outcome.path, outcome.task.clip, existing)


class HUND_OT_reconstruct(ReconstructMixin, bpy.types.Operator):
    """Turn the people in the clip into animated characters"""

    bl_idname = "hund.reconstruct"
    bl_label = "Reconstruct"
    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context):
        reason = unavailable_reason(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def clips(self, context):
        return [paths.resolve(context.scene.hund.clip)]

    def tasks(self, context):
        [task] = super().tasks(context)
        options = dict(task.options)
        if choice := _choice(context.scene.hund):
            options.pop("people", None)  # who is ticked is kept, however many they are
        return [replace(task, options=options | choice)]


class HUND_OT_reconstruct_files(ReconstructMixin, bpy.types.Operator):
    """Turn the people in the dropped clips into animated characters"""

    bl_idname = "hund.reconstruct_files"
    bl_label = "Reconstruct Clips"
    bl_options = {"UNDO", "INTERNAL"}

    directory: bpy.props.StringProperty(
        subtype="DIR_PATH", options={"SKIP_SAVE", "HIDDEN"} | paths.BLEND_RELATIVE
    )
    files: bpy.props.CollectionProperty(
        type=bpy.types.OperatorFileListElement, options={"SKIP_SAVE", "HIDDEN"}
    )

    @classmethod
    def poll(cls, context):
        reason = backend_unavailable_reason(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def clips(self, context):
        folder = paths.resolve(self.directory)
        return [folder / file.name for file in self.files]

    def invoke(self, context, event):
        if self.files:
            context.scene.hund.clip = str(Path(self.directory, self.files[0].name))
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


def _choice(settings) -> dict[str, str]:
    """Return the option that limits a reconstruction to the people who are ticked."""
    from ..bridge import found_people  # here: Blender starts faster

    found = settings.found
    if not found.people:
        return {}
    chosen = [person.number for person in found.people if person.is_chosen]
    return {"only": str(found_people.write_choice(paths.resolve(found.file), chosen))}


def _message(clip: str, error: job.JobError) -> str:
    """Return an error with the name of its clip, once."""
    text = rpt_(str(error))
    return text if clip in text else fill("{clip}: {text}", clip=clip, text=text)


def unavailable_reason(context) -> str | None:
    """Return why the panel's clip cannot be reconstructed now, or None."""
    reason, found = clip_unavailable_reason(context), context.scene.hund.found.people
    if not reason and found and not any(person.is_chosen for person in found):
        return "Tick at least one of the people who were found"
    return reason


def clip_unavailable_reason(context) -> str | None:
    """Return why nothing can be done with the panel's clip now, or None."""
    clip = context.scene.hund.clip
    if not clip.strip():
        return "Choose a clip first"
    try:
        path = paths.resolve(clip)
    except job.JobError as error:
        return str(error)
    if not path.exists() and not any(wildcard in path.name for wildcard in "#*?%"):
        return "The clip does not exist: choose another"
    return backend_unavailable_reason(context)


def backend_unavailable_reason(context) -> str | None:
    """Return why no clip can be reconstructed now, or None."""
    if status():
        return "A reconstruction is running"
    if _is_waiting:
        return "A result waits to be added: go back to Object Mode"
    return preferences.unavailable_reason(context)


def _redraw():
    """Redraw the panels and status bars if they show something else now."""
    global _drawn
    shown = status()
    new = ()
    if shown:
        seconds = shown.seconds_left and round(shown.seconds_left)
        new = (shown.clip, shown.stage, shown.person, shown.done, seconds, shown.stopping)
        new += (shown.finishing, round(shown.fraction, 2))
    new += (_is_waiting,)
    if new != _drawn:
        _drawn = new
        screen.redraw()


def _poll_job():
    if _job is None:
        return None
    _unclaimed.extend(_job.poll())
    _redraw()
    return POLL_SECONDS if _job.running else None
