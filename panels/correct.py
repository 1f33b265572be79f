"""Panel "Check and Correct": confidence, pins and contacts of a result's people."""

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..operators import confidence as confidence_operators
from ..operators import contacts as contact_operators
from ..operators import pins as pin_operators
from ..operators.texts import fill
from .sidebar import SidebarPanel

_PARENT = "HUND_PT_correct"
_LABELS = {"heel": "Heel", "toe": "Toes"}


class HUND_PT_correct(SidebarPanel, bpy.types.Panel):
    """Confidence, pins and contacts of people"""

    bl_label = "Check and Correct"
    bl_order = 3
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        armature = context.object
        if armature is None or armature.type != "ARMATURE":
            self.layout.label(text="Select the armature of a person", icon="INFO")
        else:
            self.layout.label(text=armature.name, icon="ARMATURE_DATA", translate=False)


class HUND_PT_confidence(SidebarPanel, bpy.types.Panel):
    """Where people are doubtful"""

    bl_label = "Confidence"
    bl_parent_id = _PARENT

    def draw(self, context):
        settings, layout = context.scene.hund, self.layout
        layout.enabled = bool(confidence_operators.people(context))
        layout.prop(settings, "color_confidence")
        layout.prop(settings, "low_confidence", slider=True)
        row = layout.row(align=True)
        row.operator("hund.next_doubt", text="", icon="TRIA_LEFT").backward = True
        row.operator("hund.next_doubt", icon="TRIA_RIGHT")
        row = layout.row(align=True)
        row.operator("hund.mark_doubts", icon="MARKER_HLT")
        row.operator("hund.mark_doubts", text="", icon="X").remove = True


class HUND_UL_pins(bpy.types.UIList):
    """Pins of the active person"""

    def draw_item(
        self, context, layout, data, item, icon, active_data, active_property, index, flag
    ):
        row = layout.row(align=True)
        row.label(text=item.name, icon="PINNED", translate=False)
        text = fill(iface_("Frame {frame}"), frame=item.frame)
        button = row.operator("hund.go_to_pin", text=text, emboss=False, translate=False)
        button.index = index
        row.label(text="", icon="CHECKMARK" if item.is_solved else "BLANK1")
        row.operator("hund.remove_pin", text="", icon="X", emboss=False).index = index

    def filter_items(self, context, data, propname):
        _, person = pin_operators.person_of(context)
        shown = self.bitflag_filter_item
        pins = getattr(data, propname)
        order = sorted(range(len(pins)), key=lambda i: (pins[i].frame, pins[i].name))
        positions = [order.index(index) for index in range(len(pins))]
        return [shown if pin.person == person else 0 for pin in pins], positions


class HUND_PT_pins(SidebarPanel, bpy.types.Panel):
    """Joints that were set by hand"""

    bl_label = "Pins"
    bl_parent_id = _PARENT

    def draw(self, context):
        layout, (result, _) = self.layout, pin_operators.person_of(context)
        if result is None:
            layout.label(text="Select a person that was reconstructed", icon="INFO")
            return
        layout.prop(context.object.pose, "use_auto_ik", text="Drag Limbs (Auto IK)")
        row = layout.row(align=True)
        row.operator("hund.pin", icon="PINNED").place = "POSE"
        row.operator("hund.pin", text="Pin to 3D Cursor", icon="CURSOR").place = "CURSOR"
        if result.pins:
            layout.template_list("HUND_UL_pins", "", result, "pins", result, "active_pin", rows=3)
        row = layout.row()
        row.scale_y = 1.4
        text = iface_("Solving...") if pin_operators.is_solving() else iface_("Solve Span")
        row.operator("hund.solve_span", text=text, icon="MOD_ARMATURE", translate=False)


class HUND_PT_contacts(SidebarPanel, bpy.types.Panel):
    """When the feet touch the ground"""

    bl_label = "Foot Contacts"
    bl_parent_id = _PARENT

    def draw(self, context):
        layout, armature = self.layout, context.object
        layout.use_property_decorate = True
        paths = contact_operators.contact_paths(armature)
        if paths:
            grid = layout.grid_flow(columns=2, even_columns=True, align=True)
            for part, side, path in paths:
                text = f"{iface_(_LABELS[part])} {side}"
                grid.prop(armature, path, text=text, translate=False)
        else:
            layout.operator("hund.add_contacts", icon="ADD")
        column = layout.column(align=True)
        column.operator("hund.lock_feet", icon="CON_FLOOR").span = "ACTION"
        text = "Lock Feet in Range"
        column.operator("hund.lock_feet", text=text, icon="PREVIEW_RANGE").span = "SCENE"


CLASSES = (
    HUND_PT_correct,
    HUND_PT_confidence,
    HUND_UL_pins,
    HUND_PT_pins,
    HUND_PT_contacts,
)
