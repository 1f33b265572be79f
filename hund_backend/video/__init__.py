"""Clips: frames of a video, an image sequence or an image, with their time stamps."""

from .clip import Clip, open_clip
from .frame import ClipInfo, Footage, Frame

__all__ = ["Clip", "ClipInfo", "Footage", "Frame", "open_clip"]
