"""Wrapped text: sentences in the width of the region."""

import blf

_TABS = 20  # points at the side of a sidebar that its tabs take
_MARGIN = 36  # points of a panel's borders
_ICON = 20  # points
_DEFAULT_WIDTH = 220  # points of a sidebar, where no region is drawn


def draw(layout, context, text, *, icon="NONE", indent=0, alert=False):
    """Draw a text, already translated, in as many lines as it needs.

    Args:
        layout: gets a column of labels.
        context: gives the width of the region and the size of the font.
        text: sentences; a word that is wider than a line, such as a path, is broken.
        icon: before the first line.
        indent: points that boxes around the layout take.
        alert: whether to draw it in red.
    """
    column = layout.column(align=True)
    column.scale_y = 0.8
    column.alert = alert
    offset = _ICON if icon != "NONE" else 0
    for number, line in enumerate(lines(context, text, indent + offset)):
        line_icon = icon if number == 0 else "BLANK1" if offset else "NONE"
        column.label(text=line, icon=line_icon, translate=False)


def lines(context, text, indent=0):
    """Return a text in lines that fit into the region."""
    scale = context.preferences.system.ui_scale or 1.0  # 0 without a window
    font = context.preferences.ui_styles[0].widget if context.preferences.ui_styles else None
    blf.size(0, (font.points if font else 11) * scale)
    region = context.region
    width = region.width if region and region.width > 1 else _DEFAULT_WIDTH * scale
    tabs = _TABS if not region or region.type == "UI" else 0
    available = width - (tabs + _MARGIN + indent) * scale
    result, line = [], ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if _width(longer) <= available:
            line = longer
            continue
        if line:
            result.append(line)
        *full, line = _broken(word, available)
        result += full
    return [*result, line] if line else result


def _broken(word, available):
    """Break a word, such as a path or a sentence in Japanese, into pieces that fit."""
    pieces, piece = [], ""
    for character in word:
        if piece and _width(piece + character) > available:
            pieces.append(piece)
            piece = ""
        piece += character
    return [*pieces, piece]


def _width(text):
    return blf.dimensions(0, text)[0]
