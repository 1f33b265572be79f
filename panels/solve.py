"""Panel "Reconstruct": options, the button and the progress of the job."""

import bpy
from bpy.app.translations import pgettext_iface as iface_

from .. import preferences
from ..operators import reconstruct
from . import errors, progress, setup, wrapped_text
from .sidebar import SidebarPanel


class HUND_PT_solve(SidebarPanel, bpy.types.Panel):
    """Options, the button and the progress of the job"""

    bl_label = "Reconstruct"
    bl_order = 1

    def draw(self, context):
        layout, status = self.layout, reconstruct.status()
        if status:
            progress.draw(layout, status)
            return
        reason = preferences.unavailable_reason(context)
        if reason:
            setup.draw(layout, context, reason)
            return
        settings = context.scene.hund
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(settings, "quality")
        smoothing = column.row()
        smoothing.active = settings.is_smoothed
        smoothing.prop(settings, "smoothing", slider=True)
        hands = column.row()
        hands.active = settings.finds_hands
        hands.prop(settings, "hands")
        face = column.row()
        face.active = settings.reads_faces
        face.prop(settings, "face")
        if settings.result_of_clip:
            column.prop(settings, "existing")
        layout.prop(settings, "match_scene")
        if settings.match_scene and (changes := settings.scene_changes):
            note = layout.row()
            note.active = False
            wrapped_text.draw(note, context, changes, icon="BLANK1")
        row = layout.row()
        row.scale_y = 1.8
        row.operator("hund.reconstruct", icon="ARMATURE_DATA")
        for error in reconstruct.last_errors():
            errors.draw(layout, context, error)
        reason = reconstruct.unavailable_reason(context)
        if reason:
            wrapped_text.draw(layout, context, iface_(reason), icon="INFO")


class HUND_PT_help(SidebarPanel, bpy.types.Panel):
    """The manual, the log, and what this version is made of"""

    bl_label = "Help"
    bl_order = 9
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        column = self.layout.column(align=True)
        column.operator("hund.help", icon="HELP")
        column.operator("hund.backend_log", icon="TEXT")
        column.operator("hund.about", icon="INFO")


class HUND_PT_scene(SidebarPanel, bpy.types.Panel):
    """Place of the result in the scene's time, and its look in renders"""

    bl_label = "Scene"
    bl_parent_id = "HUND_PT_solve"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context):
        return not reconstruct.status() and not preferences.unavailable_reason(context)

    def draw(self, context):
        settings, layout = context.scene.hund, self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "start_frame")
        layout.prop(settings, "behind")
        layout.prop(settings, "use_subframes")
        layout.prop(settings, "use_sound")
        layout.prop(settings, "rest")
        layout.prop(settings, "use_twist")
        row = layout.row()
        row.active = bpy.app.version >= (4, 4, 0)
        row.prop(settings, "one_action")
