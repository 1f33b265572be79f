"""Windows of a long track: fitted one after the other, each coupled to the frames before it."""

from typing import NamedTuple

CONTEXT = 2  # frames before a window that its terms in time need


class Window(NamedTuple):
    """Frames [start, stop); the first `context` stay fixed, and those before `keep` are the result."""

    start: int
    stop: int
    context: int
    keep: int


def windows(frames: int, size: int, overlap: int) -> list[Window]:
    """Windows that cover a track.

    A window reads `overlap` frames beyond what it keeps, so that kept frames know what follows, and
    two kept frames before it, so that there is no seam.

    Args:
        frames: of the track.
        size: of a window, at least twice the overlap.
        overlap: frames of the next window that a window reads ahead.
    """
    result = []
    begin = 0
    while begin < frames:
        stop = min(begin + size, frames)
        # A short remainder joins the last window.
        if frames - stop < overlap:
            stop = frames
        keep = frames if stop == frames else stop - overlap
        context = min(begin, CONTEXT)
        result.append(Window(begin - context, stop, context, keep))
        begin = keep
    return result
