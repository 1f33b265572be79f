"""Solve: the button, and how far the job is."""

import bpy
from bpy.app.translations import pgettext_iface as iface_

from .. import preferences
from ..operators import reconstruct
from .place import Place

# What the backend's stages are called here.
STAGES = {
    "start": "Starting",
    "load": "Loading the networks",
    "look": "Looking",
    "adapt": "Learning",
    "descend": "Posing",
}


def words(status) -> str:
    """What stands on the bar."""
    if status.stopping:
        return iface_("Stopping")
    parts = [iface_(STAGES.get(status.stage, status.stage.capitalize()))]
    if status.person:
        parts.append(iface_("person %s") % status.person)
    elif status.total:
        parts.append(iface_("frame %d/%d") % (status.done, status.total))
    if status.seconds_left is not None:
        minutes, seconds = divmod(round(status.seconds_left), 60)
        parts.append(iface_("%s left") % f"{minutes}:{seconds:02d}")
    return ", ".join(parts)


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
        column.prop(context.scene.hund, "quality")
        settings = context.scene.hund
        options = layout.column(align=True)
        options.prop(settings, "adapt")
        seconds = options.row(align=True)
        seconds.active = settings.adapt
        seconds.prop(settings, "adapt_seconds")
        options.prop(settings, "replace")
        options.prop(settings, "match_scene")
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
        layout.progress(factor=status.share, text=words(status), translate=False)
        column = layout.column(align=True)
        column.scale_y = 1.4
        column.operator("hund.finish", icon="CHECKMARK")
        column.operator("hund.cancel", icon="CANCEL")
