"""Panel "Solve": options, the button and the progress of the job."""

import bpy
from bpy.app.translations import pgettext_iface as iface_

from .. import preferences
from ..operators import reconstruct
from .sidebar import SidebarPanel


def progress_text(status) -> str:
    """Return the text on the progress bar."""
    if status.stopping:
        return iface_("Stopping")
    parts = [iface_(status.stage_label)]
    if status.person:
        parts.append(iface_("person %s") % status.person)
    elif status.total:
        parts.append(iface_("frame %d/%d") % (status.done, status.total))
    if status.seconds_left is not None:
        minutes, seconds = divmod(round(status.seconds_left), 60)
        parts.append(iface_("%s left") % f"{minutes}:{seconds:02d}")
    return ", ".join(parts)


class HUND_PT_solve(SidebarPanel, bpy.types.Panel):
    """Options, the button and the progress of the job"""

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
        column.prop(preferences.get(context), "device")
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
        reason = reconstruct.backend_unavailable_reason(context)
        if reason:
            layout.label(text=reason, icon="ERROR")

    def _draw_running(self, status):
        layout = self.layout
        name = status.clip
        if status.clips > 1:
            name = iface_("%s (%d of %d)") % (name, status.position, status.clips)
        layout.label(text=name, icon="FILE_MOVIE", translate=False)
        layout.progress(factor=status.fraction, text=progress_text(status), translate=False)
        column = layout.column(align=True)
        column.scale_y = 1.4
        column.operator("hund.finish", icon="CHECKMARK")
        column.operator("hund.cancel", icon="CANCEL")
