"""Texts that several operators and panels show."""

from bpy.app.translations import pgettext_iface as iface_

from ..bridge.texts import fill

__all__ = ["fill", "frames", "people"]


def people(count: int) -> str:
    """Return a number of people in words."""
    if count == 1:
        return iface_("1 person")
    return fill(iface_("{count} people"), count=count)


def frames(count: int) -> str:
    """Return a number of frames in words."""
    if count == 1:
        return iface_("1 frame")
    return fill(iface_("{count} frames"), count=count)
