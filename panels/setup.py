"""Set-up: what to do where the reconstruction cannot run yet, in the panel and the preferences."""

from bpy.app.translations import pgettext_iface as iface_

from .. import preferences
from ..operators import check_backend
from . import wrapped_text

_BOX = 16  # points that a box takes


def draw(layout, context, reason):
    """Draw the reason in the panel, with the way to the preferences."""
    box = layout.box()
    wrapped_text.draw(box, context, reason, icon="INFO", indent=_BOX)
    row = box.row()
    row.scale_y = 1.4
    row.operator("hund.open_preferences", icon="PREFERENCES")


def draw_preferences(layout, context, properties):
    """Draw the preferences and the state of the installation."""
    layout.use_property_split = True
    layout.use_property_decorate = False
    row = layout.row(align=True)
    row.prop(properties, "interpreter")
    button = row.row(align=True)
    button.ui_units_x = 4
    button.operator("hund.check_backend")
    _draw_state(layout, context)
    layout.operator("hund.find_backends", icon="VIEWZOOM")
    _draw_found(layout, context)
    for name in ("device", "threads", "cache_folder"):
        layout.prop(properties, name)


def _draw_state(layout, context):
    report = check_backend.report(context)
    reason = preferences.unavailable_reason(context)
    if not (report or reason or check_backend.is_checking()):
        return
    box = layout.box()
    if check_backend.is_trying():
        text = iface_(
            "Nothing is missing. Reconstructing a second of video: this takes up to a minute"
        )
        wrapped_text.draw(box, context, text, icon="SORTTIME", indent=_BOX)
    elif check_backend.is_checking():
        box.label(text="Checking: the first time, this takes up to a minute", icon="SORTTIME")
    elif report:
        icon = "CHECKMARK" if report.ready else "ERROR"
        wrapped_text.draw(box, context, report.text, icon=icon, indent=_BOX)
        if report.command:
            wrapped_text.draw(box, context, iface_("Paste this into a terminal:"), indent=_BOX)
            wrapped_text.draw(box, context, report.command, indent=_BOX)
            box.operator("hund.copy_command", icon="COPYDOWN")
    else:
        wrapped_text.draw(box, context, reason, icon="INFO", indent=_BOX)
        steps = (
            "1. Install Python 3.11 or later from python.org.",
            "2. Choose its program as Python, above.",
            "3. Press Check: it shows the command that installs the packages.",
        )
        for step in steps:
            wrapped_text.draw(box, context, iface_(step), indent=_BOX)


def _draw_found(layout, context):
    """Draw the interpreters that a search has found, those that are ready first."""
    search = check_backend.search()
    if not search:
        return
    for found in search.found:
        box = layout.box()
        row = box.row()
        icon = "CHECKMARK" if found.report.ready else "ERROR"
        name = str(found.path) if found.path else iface_("Blender's own Python")
        row.label(text=name, icon=icon, translate=False)
        if found.report.ready:
            row.operator("hund.use_backend").interpreter = str(found.path or "")
        wrapped_text.draw(box, context, found.report.text, indent=_BOX)
    if not search.is_done:
        layout.label(text="Searching: each Python takes some seconds", icon="SORTTIME")
    elif not search.found:
        layout.label(text="No Python was found", icon="INFO")
