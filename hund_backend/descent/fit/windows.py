"""Windows of a long track: descended one after the other, each tied to what is already done."""

from typing import NamedTuple

TIED = 2  # frames before a window that its terms in time look at


class Window(NamedTuple):
    """A stretch of frames: [start, stop) takes part, the first `tied` stay, [.., keep) is kept."""

    start: int
    stop: int
    tied: int
    keep: int


def windows(frames: int, size: int, overlap: int) -> list[Window]:
    """Windows that cover a track.

    A window looks `overlap` frames ahead of what it keeps, so that what it keeps already knows its
    future; and two kept frames behind, so that there is no seam.

    Args:
        frames: of the track.
        size: of a window, at least twice the overlap.
        overlap: frames of the next window that a window looks ahead.
    """
    found = []
    begin = 0
    while begin < frames:
        stop = min(begin + size, frames)
        # A short rest is taken along: a window of a few frames would know little.
        if frames - stop < overlap:
            stop = frames
        keep = frames if stop == frames else stop - overlap
        tied = min(begin, TIED)
        found.append(Window(begin - tied, stop, tied, keep))
        begin = keep
    return found
