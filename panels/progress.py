"""Progress of the job, in the panel and in the status bar."""

from bpy.app.translations import pgettext_iface as iface_

from ..operators import reconstruct
from ..operators.texts import fill


def draw(layout, status):
    """Draw the clip, the progress and the buttons in the panel."""
    layout.label(text=clip_text(status), icon="FILE_MOVIE", translate=False)
    column = layout.column(align=True)
    column.progress(factor=status.fraction, text=stage_text(status), translate=False)
    row = column.row()
    row.alignment = "CENTER"
    row.label(text=detail_text(status), translate=False)
    column = layout.column(align=True)
    column.scale_y = 1.4
    if status.command == "reconstruct":
        column.operator("hund.finish", icon="CHECKMARK")
    column.operator("hund.cancel", icon="CANCEL")


def draw_status_bar(header, context):
    """Draw the progress in the status bar, which all editors have in view."""
    layout = header.layout
    if reconstruct.is_waiting():
        layout.label(text="The result waits for Object Mode", icon="ARMATURE_DATA")
    if status := reconstruct.status():
        row = layout.row(align=True)
        bar = row.row()
        bar.ui_units_x = 12
        bar.progress(factor=status.fraction, text=stage_text(status), translate=False)
        row.operator("hund.cancel", text="", icon="X")


def clip_text(status):
    """Return the name of the clip and its place in the batch."""
    if status.clips == 1:
        return status.clip
    template = iface_("{clip} ({position} of {clips})")
    return fill(template, clip=status.clip, position=status.position, clips=status.clips)


def stage_text(status):
    """Return the text on the progress bar."""
    if status.stopping:
        return iface_("Stopping")
    return iface_(status.stage_label)


def detail_text(status):
    """Return what is being processed, and the time left."""
    parts = []
    if status.person:
        person, _, people = status.person.partition("/")
        if people != "1":
            parts.append(fill(iface_("Person {person} of {people}"), person=person, people=people))
    elif status.total:
        parts.append(fill(iface_("Frame {done} of {total}"), done=status.done, total=status.total))
    if status.seconds_left is not None and not status.stopping:
        minutes, seconds = divmod(round(status.seconds_left), 60)
        parts.append(fill(iface_("{time} left"), time=f"{minutes}:{seconds:02d}"))
    return ", ".join(parts)
