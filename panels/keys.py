"""Panel "Keys": the motion of the active armature in keys that can be edited."""

import bpy

from .sidebar import SidebarPanel


class HUND_PT_keys(SidebarPanel, bpy.types.Panel):
    """The keys of the active armature"""

    bl_label = "Keys"
    bl_order = 3
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        layout, armature = self.layout, context.object
        animation = armature.animation_data if armature else None
        if armature is None or armature.type != "ARMATURE":
            layout.label(text="Select an armature with a motion", icon="INFO")
        elif animation is None or animation.action is None:
            layout.label(text="This armature has no action", icon="INFO")
        else:
            layout.label(text=animation.action.name, icon="ACTION", translate=False)
        in_pose_mode = context.mode == "POSE"
        layout.operator("hund.reduce_keys", icon="IPO_BEZIER")
        column = layout.column(align=True)
        column.operator("hund.smooth_keys", icon="SMOOTHCURVE")
        column.operator("hund.mirror_motion", icon="MOD_MIRROR")
        if in_pose_mode:
            column = layout.column(align=True)
            column.label(text="Selected Bones")
            row = column.row(align=True)
            for name in ("reduce_keys", "smooth_keys", "mirror_motion"):
                row.operator(f"hund.{name}", text=_SHORT[name]).use_selected = True
        column = layout.column(align=True)
        column.operator("hund.trim_motion", icon="PREVIEW_RANGE")
        column.operator("hund.loop_motion", icon="FILE_REFRESH")


_SHORT = {"reduce_keys": "Reduce", "smooth_keys": "Smooth", "mirror_motion": "Mirror"}
