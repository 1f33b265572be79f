"""Operator: open HUND's preferences."""

import bpy

from .. import preferences


class HUND_OT_open_preferences(bpy.types.Operator):
    """Open HUND's preferences, where the Python that runs it is chosen"""

    bl_idname = "hund.open_preferences"
    bl_label = "Open Preferences"

    def execute(self, context):
        bpy.ops.preferences.addon_show(module=preferences.PACKAGE)
        return {"FINISHED"}
