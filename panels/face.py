"""Panel "Face": the face's motion for other meshes and programs."""

import bpy

from .sidebar import SidebarPanel


class HUND_PT_face(SidebarPanel, bpy.types.Panel):
    """The face's motion for other meshes and programs"""

    bl_label = "Face"
    bl_order = 4
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        column = self.layout.column(align=True)
        column.operator("hund.apply_face", icon="SHAPEKEY_DATA")
        column.operator("hund.export_face", icon="EXPORT")


CLASSES = (HUND_PT_face,)
