"""Deinterlacing: whole pictures of video whose lines were recorded in two halves."""

from collections.abc import Iterator
from fractions import Fraction

import av


class Deinterlacer:
    """Filter that turns interlaced frames into whole ones and passes others on.

    It begins with the first interlaced frame, and is one frame late from then on.
    """

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._source: av.filter.context.FilterContext | None = None
        self._sink: av.filter.context.FilterContext | None = None
        self._size: tuple[int, int, str] | None = None

    @property
    def is_used(self) -> bool:
        """Whether an interlaced frame has come."""
        return self._source is not None

    def put(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Yield the frames that are ready after a decoded frame."""
        if self._source is None and not frame.interlaced_frame:
            yield frame
            return
        size = (frame.width, frame.height, frame.format.name)
        if size != self._size:
            yield from self.finish()
            self._start(frame)
            self._size = size
        self._source.push(frame)
        yield from self._ready()

    def finish(self) -> Iterator[av.VideoFrame]:
        """Yield the frames that are left at the end."""
        if self._source is not None:
            self._source.push(None)
            yield from self._ready()

    def _start(self, frame: av.VideoFrame) -> None:
        self._graph = av.filter.Graph()
        self._source = self._graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base or self._time_base,
        )
        # One frame for each frame, so that numbers stay; BBC's filter keeps fine lines.
        weave = self._graph.add("bwdif", mode="send_frame", deint="interlaced")
        self._sink = self._graph.add("buffersink")
        self._graph.link_nodes(self._source, weave, self._sink).configure()

    def _ready(self) -> Iterator[av.VideoFrame]:
        while True:
            try:
                yield self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
