"""Welcome: what happens, how long it takes and where files go, before the first result."""

from bpy.app.translations import pgettext_iface as iface_

from .. import preferences
from ..operators.texts import fill
from . import wrapped_text

_BOX = 16  # points that a box takes
_SENTENCES = (
    "Choose a video: everybody in it becomes a character that moves the same way.",
    "This takes about five to ten times the clip's time for each person, on this computer alone.",
    "You can work on meanwhile.",
    "The sample has two seconds and two people: it takes a minute or two.",
)


def draw(layout, context):
    """Draw the text and the button of the sample."""
    box = layout.box()
    for sentence in _SENTENCES:
        wrapped_text.draw(box, context, iface_(sentence), indent=_BOX)
    if folder := preferences.shown_cache_folder(context):
        text = fill(iface_("Files are stored in {folder}."), folder=folder)
        wrapped_text.draw(box, context, text, indent=_BOX)
    row = box.row()
    row.scale_y = 1.4
    row.operator("hund.try_sample", icon="PLAY")
