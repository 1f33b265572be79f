"""Panel "Result": the scene's results and their files."""

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..operators import reconstruct, texts
from ..operators.texts import fill
from . import wrapped_text
from .sidebar import SidebarPanel

_BOX = 16  # points that a box takes


class HUND_PT_result(SidebarPanel, bpy.types.Panel):
    """The scene's results and their files"""

    bl_label = "Result"
    bl_order = 2

    def draw(self, context):
        layout = self.layout
        for outcome in reconstruct.unclaimed():
            text = fill(iface_("Add {clip} to This Scene"), clip=outcome.path.stem)
            button = layout.operator("hund.load", text=text, icon="ADD", translate=False)
            button.filepath, button.clip = str(outcome.path), str(outcome.task.clip)
        for result in context.scene.hund.results:
            draw_result(layout, context, result)
        column = layout.column(align=True)
        if context.scene.hund.results:
            column.operator("hund.set_floor", icon="VIEW_PERSPECTIVE")
            column.operator("hund.push_to_nla", icon="NLA_PUSHDOWN")
            column.operator("hund.mark_asset", icon="ASSET_MANAGER")
        column.operator("hund.load", text="Load Reconstruction...", icon="IMPORT")
        column.operator("hund.backend_log", icon="TEXT")


def draw_result(layout, context, result):
    """Draw the card of a result."""
    box = layout.box()
    row = box.row()
    row.label(text=result.name, icon="OUTLINER_COLLECTION", translate=False)
    button = row.operator("hund.load", text="", icon="FILE_REFRESH", emboss=False)
    button.filepath, button.clip = result.filepath, result.clip
    button.result = result.name
    column = box.column(align=True)
    column.scale_y = 0.9
    size = f"{texts.people(result.people)}, {texts.frames(result.frames)}"
    column.label(text=size, translate=False)
    confidence = fill(iface_("Confidence {percent} %"), percent=round(100 * result.confidence))
    column.label(text=confidence, translate=False)
    draw_smoothing(box, context, result)
    row = box.row(align=True)
    row.operator("hund.look_through", icon="CAMERA_DATA").name = result.name
    row.operator("hund.frame_people", text="", icon="ZOOM_SELECTED").name = result.name


def draw_smoothing(box, context, result):
    """Draw the amount of smoothing and the button that solves the result again."""
    if result.evidence_identity:
        reason = result.solve_again_reason
        column = box.column(align=True)
        column.enabled = reason is None
        column.prop(result, "smoothing", slider=True)
        column.operator("hund.solve_again", icon="MOD_SMOOTH").name = result.name
        if reason:
            wrapped_text.draw(box, context, iface_(reason), icon="INFO", indent=_BOX)
