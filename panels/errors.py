"""Errors in the panel, each with a button that opens the log."""

from . import wrapped_text

_BOX = 16  # points that a box takes


def draw(layout, context, text):
    """Draw an error, already translated, with the way to its details.

    Args:
        layout: gets a box.
        context: gives the width of the region.
        text: sentences that say what happened and what to do.
    """
    box = layout.box()
    wrapped_text.draw(box, context, text, icon="ERROR", indent=_BOX)
    box.operator("hund.backend_log", icon="TEXT")
