"""Operators: check the backend's interpreter, and copy the command that installs its packages."""

import bpy

from .. import preferences
from ..bridge import installation, job, screen

_POLL_SECONDS = 0.2

_check: installation.Check | None = None
_report: installation.Report | None = None
_checked = ""  # interpreter of the report


def report(context) -> installation.Report | None:
    """Return the last report on the present interpreter, or None."""
    return _report if _checked == preferences.get(context).interpreter else None


def is_checking() -> bool:
    """Return whether a check is running."""
    return _check is not None


def stop() -> None:
    """Stop the running check and forget the report."""
    global _check, _report
    if _check:
        _check.close()
    _check = _report = None
    if bpy.app.timers.is_registered(_poll):
        bpy.app.timers.unregister(_poll)


class HUND_OT_check_backend(bpy.types.Operator):
    """Start the interpreter and tell what it lacks"""

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
            _check = installation.Check(preferences.settings(context))
        except job.JobError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        _checked = preferences.get(context).interpreter
        bpy.app.timers.register(_poll, first_interval=_POLL_SECONDS, persistent=True)
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


def _poll() -> float | None:
    global _check, _report
    if _check is None:
        return None
    _report = _check.poll()
    if _report is None:
        return _POLL_SECONDS
    _check = None
    screen.redraw_resized()
    return None
