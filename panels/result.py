"""Result: what was found, and the way back to the files."""

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..operators import reconstruct
from .place import Place


class HUND_PT_result(Place, bpy.types.Panel):
    """What was found"""

    bl_label = "Result"
    bl_order = 2

    def draw(self, context):
        layout = self.layout
        for outcome in reconstruct.unclaimed():
            text = iface_("Add %s to This Scene") % outcome.path.stem
            button = layout.operator("hund.load", text=text, icon="ADD", translate=False)
            button.filepath, button.clip = str(outcome.path), str(outcome.task.clip)
        for note in context.scene.hund.results:
            box = layout.box()
            row = box.row()
            row.label(text=note.name, icon="OUTLINER_COLLECTION", translate=False)
            button = row.operator("hund.load", text="", icon="FILE_REFRESH")
            button.filepath, button.clip = note.filepath, note.clip
            column = box.column(align=True)
            people = iface_("%d people, %d frames") % (note.people, note.frames)
            column.label(text=people, translate=False)
            confidence = iface_("Confidence %d %%") % round(100 * note.confidence)
            column.label(text=confidence, translate=False)
            if note.stages:
                draw_descent(box, note)
        layout.operator("hund.load", text="Load Reconstruction...", icon="IMPORT")
        layout.operator("hund.backend_log", icon="TEXT")


def draw_descent(layout, note):
    """The way from the first guess to the last stage."""
    column = layout.column(align=True)
    column.prop(note, "show_descent")
    row = column.row(align=True)
    row.active = note.show_descent
    usual = note.bl_rna.properties["stage"].soft_max
    row.prop(note, "stage", slider=note.stages - 1 == usual)
    if note.show_descent and (obstacle := note.obstacle):
        column.label(text=obstacle, icon="ERROR")
