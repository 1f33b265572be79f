"""Source: what is to be reconstructed."""

import bpy

from .place import Place


class HUND_PT_source(Place, bpy.types.Panel):
    """The clip and what of it"""

    bl_label = "Source"
    bl_order = 0

    def draw(self, context):
        settings, layout = context.scene.hund, self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "clip")
        column = layout.column(heading="Limit Range")
        row = column.row(align=True)
        row.prop(settings, "use_range", text="")
        limits = row.row(align=True)
        limits.active = settings.use_range
        limits.prop(settings, "start", text="")
        limits.prop(settings, "end", text="")
        layout.prop(settings, "people", text="People (0 = all)")
