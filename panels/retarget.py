"""Panel "Apply Motion to Armature": the target, its bones and how the motion is applied."""

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..operators.retarget import progress, source_of
from ..operators.texts import fill
from .sidebar import SidebarPanel

_ROWS = 12  # of the table


class HUND_UL_roles(bpy.types.UIList):
    """Roles with the bones of the target"""

    def draw_item(
        self, context, layout, data, item, icon, active_data, active_property, index, flag
    ):
        split = layout.split(factor=0.42)
        split.label(text=item.label, icon="NONE" if item.bone else "ERROR", translate=False)
        if data.target:
            split.prop_search(item, "bone", data.target.data, "bones", text="")


class HUND_PT_retarget(SidebarPanel, bpy.types.Panel):
    """The target, its bones and how the motion is applied"""

    bl_label = "Apply Motion to Armature"
    bl_order = 3
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        settings, layout = context.scene.hund.retarget, self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "source", text=_source_label(context))
        layout.prop(settings, "target")
        layout.prop(settings, "preset")
        if settings.target:
            self._draw_coverage(settings)
        layout.prop(settings, "travel")
        layout.prop(settings, "root")
        layout.prop(settings, "controls", expand=True)
        column = layout.column(heading="Options")
        column.prop(settings, "keep_contacts")
        column.prop(settings, "keep_hands")
        column.prop(settings, "use_locks")
        column.prop(settings, "key_switches")
        column.prop(settings, "reduce_keys")
        row = column.row()
        row.active = settings.reduce_keys
        row.prop(settings, "key_tolerance_mm")
        share = progress()
        if share is not None:
            layout.progress(factor=share, text=iface_("Applying Motion"), translate=False)
            layout.label(text="Escape cancels")
            return
        row = layout.row()
        row.scale_y = 1.4
        row.operator("hund.retarget", icon="POSE_HLT")

    def _draw_coverage(self, settings):
        mapping = settings.mapping
        text = fill(
            iface_("Body {body} %, fingers {fingers} %"),
            body=round(100 * mapping.body_coverage),
            fingers=round(100 * mapping.finger_coverage),
        )
        name = settings.found or iface_("Found by Geometry")
        column = self.layout.column(align=True)
        column.label(text=f"{name}: {text}", translate=False)
        if settings.message:
            column.label(text=settings.message, icon="ERROR", translate=False)


class HUND_PT_roles(SidebarPanel, bpy.types.Panel):
    """The table of roles and bones"""

    bl_label = "Bones"
    bl_parent_id = "HUND_PT_retarget"
    bl_order = 1
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context):
        return context.scene.hund.retarget.target is not None

    def draw(self, context):
        settings, layout = context.scene.hund.retarget, self.layout
        layout.template_list(
            "HUND_UL_roles", "", settings, "roles", settings, "active_role", rows=_ROWS
        )
        row = layout.row(align=True)
        row.operator("hund.detect_bones", icon="VIEWZOOM")
        row.operator("hund.save_rig_preset", icon="FILE_TICK")


class HUND_UL_pairs(bpy.types.UIList):
    """People with their armatures"""

    def draw_item(
        self, context, layout, data, item, icon, active_data, active_property, index, flag
    ):
        split = layout.split(factor=0.42)
        name = item.person.name if item.person else ""
        split.label(text=name, icon="USER", translate=False)
        split.prop(item, "target", text="")


class HUND_PT_pairs(SidebarPanel, bpy.types.Panel):
    """The people and their armatures"""

    bl_label = "Several People"
    bl_parent_id = "HUND_PT_retarget"
    bl_order = 2
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        settings, layout = context.scene.hund.retarget, self.layout
        layout.template_list(
            "HUND_UL_pairs", "", settings, "pairs", settings, "active_pair", rows=3
        )
        layout.operator("hund.list_people", icon="FILE_REFRESH")
        row = layout.row()
        row.scale_y = 1.4
        row.operator("hund.retarget_people", icon="COMMUNITY")


def _source_label(context) -> str:
    """Return the label of the source; where none is chosen, with the one that is used."""
    source = source_of(context)
    if context.scene.hund.retarget.source or source is None:
        return "Source"
    return fill(iface_("Source ({name})"), name=source.name)
