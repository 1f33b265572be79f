"""Panel "Export": the people of the scene's results as files for other programs."""

import bpy

from .sidebar import SidebarPanel


class HUND_PT_export(SidebarPanel, bpy.types.Panel):
    """The people as files for other programs"""

    bl_label = "Export"
    bl_order = 3
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context):
        return len(context.scene.hund.results) > 0

    def draw(self, context):
        settings, layout = context.scene.hund, self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "export_format")
        if settings.export_format == "glb":
            layout.prop(settings, "glb_influences")
        row = layout.row()
        row.active = settings.export_format == "fbx"
        row.prop(settings, "export_target")
        layout.prop(settings, "export_names")
        row = layout.row()
        row.active = settings.export_format != "usd"
        row.prop(settings, "export_rest")
        layout.prop(settings, "export_twist")
        layout.prop(settings, "export_folder")
        layout.prop(settings, "export_selected")
        row = layout.row()
        row.scale_y = 1.4
        row.operator("hund.export", icon="EXPORT")
