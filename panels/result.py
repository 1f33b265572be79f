"""Panel "Result": the scene's results and their files."""

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..operators import reconstruct
from .sidebar import SidebarPanel


class HUND_PT_result(SidebarPanel, bpy.types.Panel):
    """The scene's results"""

    bl_label = "Result"
    bl_order = 2

    def draw(self, context):
        layout = self.layout
        for outcome in reconstruct.unclaimed():
            text = iface_("Add %s to This Scene") % outcome.path.stem
            button = layout.operator("hund.load", text=text, icon="ADD", translate=False)
            button.filepath, button.clip = str(outcome.path), str(outcome.task.clip)
        for result in context.scene.hund.results:
            box = layout.box()
            row = box.row()
            row.label(text=result.name, icon="OUTLINER_COLLECTION", translate=False)
            button = row.operator("hund.load", text="", icon="FILE_REFRESH")
            button.filepath, button.clip = result.filepath, result.clip
            column = box.column(align=True)
            size = iface_("%d people, %d frames") % (result.people, result.frames)
            column.label(text=size, translate=False)
            confidence = iface_("Confidence %d %%") % round(100 * result.confidence)
            column.label(text=confidence, translate=False)
            if result.stages:
                draw_descent(box, result)
        layout.operator("hund.load", text="Load Reconstruction...", icon="IMPORT")
        layout.operator("hund.backend_log", icon="TEXT")


def draw_descent(layout, result):
    """Draw the choice of a stage of the descent."""
    column = layout.column(align=True)
    column.prop(result, "show_descent")
    row = column.row(align=True)
    row.active = result.show_descent
    soft_max = result.bl_rna.properties["stage"].soft_max
    row.prop(result, "stage", slider=result.stages - 1 == soft_max)
    if result.show_descent and (reason := result.unavailable_reason):
        column.label(text=reason, icon="ERROR")
