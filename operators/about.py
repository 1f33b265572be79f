"""Operators: open the manual, and show version, licence and weights."""

import bpy
from bpy.app.translations import pgettext_iface as iface_

from .. import preferences
from ..bridge.job import JobError
from .texts import fill

_WIDTH = 380  # of the window, pixels

_lines: list[str] = []


class HUND_OT_help(bpy.types.Operator):
    """Open the manual in the browser; it comes with HUND and needs no network"""

    bl_idname = "hund.help"
    bl_label = "Help"

    def execute(self, context):
        from ..bridge import about  # here: Blender starts faster

        try:
            page = about.write_manual(preferences.log_file().parent)
        except JobError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        bpy.ops.wm.url_open(url=page.as_uri())
        return {"FINISHED"}


class HUND_OT_about(bpy.types.Operator):
    """Show the version, the licence and the trained weights of HUND"""

    bl_idname = "hund.about"
    bl_label = "About"

    def execute(self, context):
        return {"FINISHED"}

    def invoke(self, context, event):
        _lines[:] = lines()
        return context.window_manager.invoke_popup(self, width=_WIDTH)

    def draw(self, context):
        column = self.layout.column(align=True)
        for line in _lines:
            column.label(text=line, translate=False)


def lines() -> list[str]:
    """Return the lines of the window."""
    from ..bridge import about  # here: Blender starts faster

    texts = [
        fill(iface_("HUND {version}"), version=about.version()),
        iface_("Free software: GNU General Public License, version 3 or later"),
        iface_("The authors of all its parts are in NOTICE.md, beside the manual"),
        iface_("Weights:"),
    ]
    return [*texts, *(f"  {each.name}  {each.sha256}" for each in about.weights())]
