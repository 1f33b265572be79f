"""Panel "Source": the clip, its range and the number of people."""

import bpy

from .sidebar import SidebarPanel


class HUND_PT_source(SidebarPanel, bpy.types.Panel):
    """The clip, its range and the number of people"""

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
