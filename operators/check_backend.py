"""Operators: check the backend's interpreter, find others, copy the command that installs packages."""

import os
from pathlib import Path

import bpy

from .. import preferences
from ..bridge import installation, interpreters, job, screen, trial
from ..bridge.paths import BLEND_RELATIVE

_POLL_SECONDS = 0.2

_check: trial.TriedCheck | None = None
_report: installation.Report | None = None
_checked = ""  # interpreter of the report
_search: interpreters.Search | None = None  # running or done


def report(context) -> installation.Report | None:
    """Return the last report on the present interpreter, or None."""
    return _report if _checked == preferences.get(context).interpreter else None


def is_checking() -> bool:
    """Return whether a check is running."""
    return _check is not None


def is_trying() -> bool:
    """Return whether the check has found nothing missing and reconstructs a second of video."""
    return _check is not None and _check.is_trying


def search() -> interpreters.Search | None:
    """Return the search for interpreters, running or done, or None."""
    return _search


def stop() -> None:
    """Stop the running check and search, and forget the report."""
    global _check, _report, _search
    if _search:
        _search.close()
        _search = None
    if bpy.app.timers.is_registered(_poll_search):
        bpy.app.timers.unregister(_poll_search)
    if _check:
        _check.close()
    _check = _report = None
    if bpy.app.timers.is_registered(_poll):
        bpy.app.timers.unregister(_poll)


class HUND_OT_check_backend(bpy.types.Operator):
    """Start the interpreter, reconstruct a second of video with it, and tell what it lacks"""

    bl_idname = "hund.check_backend"
    bl_label = "Check"

    @classmethod
    def poll(cls, context):
        if is_checking():
            cls.poll_message_set("The check is running")
        return not is_checking()

    def execute(self, context):
        global _check, _checked
        stop()
        try:
            device = preferences.get(context).device
            _check = trial.TriedCheck(preferences.settings(context), device)
        except job.JobError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        _checked = preferences.get(context).interpreter
        bpy.app.timers.register(_poll, first_interval=_POLL_SECONDS, persistent=True)
        return {"FINISHED"}


class HUND_OT_find_backends(bpy.types.Operator):
    """Find the Pythons of this computer that can run HUND, and tell what the others lack"""

    bl_idname = "hund.find_backends"
    bl_label = "Find Backends"

    @classmethod
    def poll(cls, context):
        is_searching = _search is not None and not _search.is_done
        if is_searching:
            cls.poll_message_set("The search is running")
        return not is_searching

    def execute(self, context):
        global _search
        stop()
        try:
            settings = preferences.settings(context)
        except job.JobError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        _search = interpreters.Search(settings, interpreters.candidates(os.environ, Path.home()))
        bpy.app.timers.register(_poll_search, first_interval=_POLL_SECONDS, persistent=True)
        return {"FINISHED"}


class HUND_OT_use_backend(bpy.types.Operator):
    """Choose this Python and check it"""

    bl_idname = "hund.use_backend"
    bl_label = "Use"

    interpreter: bpy.props.StringProperty(options={"SKIP_SAVE", "HIDDEN"} | BLEND_RELATIVE)

    def execute(self, context):
        found = _search
        preferences.get(context).interpreter = self.interpreter
        bpy.ops.hund.check_backend()
        _keep(found)
        return {"FINISHED"}


class HUND_OT_copy_command(bpy.types.Operator):
    """Copy the command that installs the missing packages, for a terminal"""

    bl_idname = "hund.copy_command"
    bl_label = "Copy Command"

    @classmethod
    def poll(cls, context):
        found = report(context)
        if not (found and found.command):
            cls.poll_message_set("Nothing is missing that a command installs")
            return False
        return True

    def execute(self, context):
        context.window_manager.clipboard = report(context).command
        self.report({"INFO"}, "The command is copied: paste it in a terminal")
        return {"FINISHED"}


def _keep(found: interpreters.Search | None) -> None:
    """Keep the list of a search that is done while a check runs."""
    global _search
    if found and found.is_done:
        _search = found


def _poll_search() -> float | None:
    if _search is None:
        return None
    if _search.poll():
        screen.redraw_resized()
    return None if _search.is_done else _POLL_SECONDS


def _poll() -> float | None:
    global _check, _report
    if _check is None:
        return None
    was_trying = _check.is_trying
    _report = _check.poll()
    if _report is None:
        if _check.is_trying != was_trying:
            screen.redraw_resized()
        return _POLL_SECONDS
    _check = None
    screen.redraw_resized()
    return None
