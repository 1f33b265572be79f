"""Solve: the button, and how far the job is."""

import bpy
from bpy.app.translations import pgettext_iface as iface_

from .. import preferences
from ..operators import reconstruct
from .place import Place

# What the backend's stages are called here, and which part of the bar each fills.
STAGES = {
    "start": ("Starting", 0.0, 0.02),
    "load": ("Loading the networks", 0.02, 0.05),
    "look": ("Looking at the people", 0.05, 0.6),
    "descend": ("Posing the bodies", 0.6, 1.0),
}


def progress(status) -> tuple[float, str]:
    """Fraction of the bar and the words on it."""
    stage, _, person = status.stage.partition(" ")  # "descend 1/2": of two people the first
    name, start, end = STAGES.get(stage, (stage.capitalize(), 0.0, 1.0))
    if status.stopping:
        return start, iface_("Stopping")
    words = f"{iface_(name)} {person}".strip()
    if not status.total:
        return start, f"{words}, {status.done}" if status.done else words
    words = f"{words}, {status.done}/{status.total}"
    if status.seconds_left is not None and status.done < status.total:
        minutes, seconds = divmod(round(status.seconds_left), 60)
        words = iface_("%s, %s left") % (words, f"{minutes}:{seconds:02d}")
    return start + (end - start) * min(status.done / status.total, 1.0), words


class HUND_PT_solve(Place, bpy.types.Panel):
    """The way from clip to characters"""

    bl_label = "Solve"
    bl_order = 1

    def draw(self, context):
        layout, status = self.layout, reconstruct.status()
        if status:
            self._draw_running(status)
            return
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(preferences.of(context), "device")
        options = layout.column(align=True)
        options.prop(context.scene.hund, "replace")
        options.prop(context.scene.hund, "match_scene")
        row = layout.row()
        row.scale_y = 1.8
        row.operator("hund.reconstruct", icon="ARMATURE_DATA")
        obstacle = reconstruct.backend_obstacle(context)
        if obstacle:
            layout.label(text=obstacle, icon="ERROR")

    def _draw_running(self, status):
        layout = self.layout
        name = status.clip
        if status.clips > 1:
            name = iface_("%s (%d of %d)") % (name, status.position, status.clips)
        layout.label(text=name, icon="FILE_MOVIE", translate=False)
        factor, words = progress(status)
        layout.progress(factor=factor, text=words, translate=False)
        row = layout.row()
        row.scale_y = 1.4
        row.operator("hund.cancel", icon="CANCEL")
