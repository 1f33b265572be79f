"""Panel "Advanced": options for research, and the stages of the network on the characters."""

import bpy

from .. import preferences
from . import errors
from .sidebar import SidebarPanel


class HUND_PT_advanced(SidebarPanel, bpy.types.Panel):
    """Options for research, and the stages of the network on the characters"""

    bl_label = "Advanced"
    bl_order = 4
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        settings, layout = context.scene.hund, self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        addon_preferences = preferences.get(context)
        if addon_preferences:
            layout.prop(addon_preferences, "device")
        layout.prop(settings, "method")
        column = layout.column(align=True)
        column.active = settings.method == "hund"
        column.prop(settings, "adapt")
        seconds = column.row(align=True)
        seconds.active = settings.adapt
        seconds.prop(settings, "adapt_seconds")
        for result in settings.results:
            if result.stages:
                draw_stages(layout, context, result)


def draw_stages(layout, context, result):
    """Draw the choice of a stage of the network."""
    box = layout.box()
    box.label(text=result.name, icon="OUTLINER_COLLECTION", translate=False)
    column = box.column(align=True)
    column.prop(result, "show_descent")
    row = column.row(align=True)
    row.active = result.show_descent
    soft_max = result.bl_rna.properties["stage"].soft_max
    row.prop(result, "stage", slider=result.stages - 1 == soft_max)
    if result.show_descent and (reason := result.unavailable_reason):
        errors.draw(box, context, reason)
