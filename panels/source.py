"""Panel "Clip": the clip, what it is, and which part of it is used."""

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..operators import texts
from ..operators.texts import fill
from . import errors, welcome
from .sidebar import SidebarPanel

_PICTURE = 5.5  # size of the clip's picture, in units of the interface
_PERSON = 3.5  # size of a person's picture


class HUND_PT_source(SidebarPanel, bpy.types.Panel):
    """The clip, what it is, and which part of it is used"""

    bl_label = "Clip"
    bl_order = 0

    def draw(self, context):
        settings, layout = context.scene.hund, self.layout
        layout.prop(settings, "clip", text="")
        if not settings.clip and not settings.results:
            welcome.draw(layout, context)
        card = settings.card
        if card:
            draw_card(layout, context, card)
        if settings.clip:
            draw_limits(layout, settings)


def draw_limits(layout, settings):
    """Draw which part of the clip is used, and how many of its people."""
    layout.use_property_split = True
    layout.use_property_decorate = False
    column = layout.column(heading="Limit", align=True)
    column.prop(settings, "use_range", text="Range")
    limits = column.column(align=True)
    limits.active = settings.use_range
    for name in ("start", "end"):
        row = limits.row(align=True)
        row.prop(settings, name)
        row.operator("hund.set_range", text="", icon="TRIA_DOWN_BAR").limit = name
    column.separator()
    row = column.row(align=True, heading="Slow Motion")
    row.prop(settings, "use_speed", text="")
    factor = row.row(align=True)
    factor.active = settings.use_speed
    factor.prop(settings, "speed", text="")
    column.separator()
    row = column.split(factor=0.7, align=True)
    row.active = not settings.found.people
    row.prop(settings, "use_people")
    count = row.row(align=True)
    count.active = settings.people > 0
    count.prop(settings, "people", text="")
    layout.operator("hund.find_people", icon="VIEWZOOM")
    draw_found(layout, settings)


def draw_found(layout, settings):
    """Draw the people of the clip whom a quick look found, to be ticked."""
    if settings.found.file and not settings.found.people:
        layout.label(text="Nobody was found", icon="INFO")
    for person in settings.found.people:
        row = layout.box().row()
        row.use_property_split = False
        if person.icon:
            row.template_icon(icon_value=person.icon, scale=_PERSON)
        column = row.column(align=True)
        column.scale_y = 0.9
        name = fill(iface_("Person {number}"), number=person.number)
        column.prop(person, "is_chosen", text=name, translate=False)
        text = column.column(align=True)
        text.active = person.is_chosen
        for line in found_lines(person):
            text.label(text=line, translate=False)


def found_lines(person):
    """Return what is known of a person who was found, in short lines."""
    times = fill(
        iface_("{first} to {last} s"), first=f"{person.first:.1f}", last=f"{person.last:.1f}"
    )
    presence = fill(iface_("In view {percent} %"), percent=round(100 * person.presence))
    lines = [times, presence]
    if person.is_static:
        lines.append(iface_("Does not move: a picture?"))
    return lines


def draw_card(layout, context, card):
    """Draw a clip's picture and properties."""
    if card.error:
        errors.draw(layout, context, card.error)
        return
    if not card.width:
        return
    row = layout.box().row()
    if card.icon:
        row.template_icon(icon_value=card.icon, scale=_PICTURE)
    column = row.column(align=True)
    column.scale_y = 0.9
    column.separator(factor=2.0)  # to the middle of the picture
    for line in card_lines(card):
        column.label(text=line, translate=False)


def card_lines(card):
    """Return a clip's properties in short lines."""
    size = fill(iface_("{width} × {height} px"), width=card.width, height=card.height)
    if card.frames == 1:
        return [iface_("Picture"), size]
    lines = []
    if card.seconds is not None:
        minutes, seconds = divmod(round(card.seconds), 60)
        lines.append(f"{minutes}:{seconds:02} min" if minutes else f"{card.seconds:.1f} s")
    if card.frames:
        lines.append(texts.frames(card.frames))
    rate = f"{card.fps:.2f}".rstrip("0").rstrip(".")
    return [*lines, fill(iface_("{rate} per second"), rate=rate), size]
