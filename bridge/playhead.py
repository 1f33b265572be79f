"""Playhead: the frame of a clip at the scene's current frame."""

import bpy

from .clip_card import Card
from .timeline import fps_of


def clip_frame(scene: bpy.types.Scene, card: Card, start: int, first: int = 0) -> int:
    """Return the number of the clip's frame at the playhead, within the clip.

    Args:
        scene: has the playhead.
        card: of the clip.
        start: frame of the scene that shows the clip's frame `first`.
        first: number of a frame of the clip, from 0.
    """
    seconds = (scene.frame_current + scene.frame_subframe - start) / fps_of(scene)
    number = first + round(seconds * card.fps)
    last = card.frames - 1 if card.frames else number
    return max(0, min(number, last))
