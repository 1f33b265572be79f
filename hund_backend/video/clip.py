"""Clip: a range of frames of a source, decoded ahead, all of one size."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import cv2

from ..errors import BadInputError
from ..image_file import read_image
from ..sources import IMAGE_SUFFIXES, animation_kind, is_sound, source_files
from .frame import ClipInfo, Frame, Source
from .movie import Movie
from .pictures import AnimatedPicture, Pictures

# OpenCV prints errors of its own; the user gets one sentence of ours instead.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

FRAMES_AHEAD = 4  # decoded in advance; 25 MB each in 4K
BYTES_AHEAD = 10**8  # most of all frames decoded in advance, but for one
MISSING_TOLERATED = 2  # frames by which a good header may overstate (edit lists, rounding)


class Clip(AbstractContextManager, Iterator):
    """Frames of a clip in order; a context manager and an iterator.

    A thread decodes a few frames ahead, so memory does not grow with the clip.
    """

    info: ClipInfo
    truncated: str | None  # after the last frame: sentences if frames are missing or were changed

    def __init__(self, source: Source, start: int | None, end: int | None) -> None:
        self._source = source
        start = start or 0
        self._end = end
        self._delivered = 0
        self._resized = 0
        self.truncated = None
        self._frames = source.frames(start)
        self._first_frame = next(self._frames, None)
        if self._first_frame is None:
            source.close()
            raise _start_error(source, start)
        height, width = self._first_frame.image.shape[:2]
        self.info = ClipInfo(
            path=source.path,
            width=width,
            height=height,
            fps=source.fps,
            num_frames=source.expected(start, end),
            footage=source.footage,
        )
        self._selected = self._select()
        self._reader = ThreadPoolExecutor(max_workers=1)
        self._queue: deque[Future[Frame | None]] = deque()
        self._ahead = max(1, min(FRAMES_AHEAD, BYTES_AHEAD // self._first_frame.image.nbytes))
        self._closed = False

    def __next__(self) -> Frame:
        if self._closed:
            raise StopIteration
        while len(self._queue) < self._ahead:
            self._queue.append(self._reader.submit(next, self._selected, None))
        frame = self._queue.popleft().result()
        if frame is None:
            self.truncated = " ".join(self._warnings()) or None
            self.close()
            raise StopIteration
        self._delivered += 1
        return frame

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on how the frames so far differ from what the file stores."""
        return tuple(self._source.notes)

    def close(self) -> None:
        """Stop decoding and close the file; no more frames follow."""
        self._closed = True
        self._reader.shutdown(cancel_futures=True)
        self._source.close()

    def _select(self) -> Iterator[Frame]:
        """Yield frames up to the end, all of one size."""
        frame = self._first_frame
        while frame is not None and (self._end is None or frame.number <= self._end):
            size = (self.info.width, self.info.height)
            if frame.image.shape[1::-1] != size:
                self._resized += 1
                image = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
                frame = replace(frame, image=image)
            yield frame
            frame = next(self._frames, None)

    def _warnings(self) -> Iterator[str]:
        """Yield sentences on frames that are missing or were changed."""
        expected, name = self.info.num_frames, self.info.path.name
        tolerated = MISSING_TOLERATED if isinstance(self._source, Movie) else 0
        if self._resized:
            have = "frame of {} has" if self._resized == 1 else "frames of {} have"
            yield (
                f"{self._resized} {have.format(name)} another size than the first: scaled to "
                f"{self.info.width} × {self.info.height} pixels."
            )
        if expected is not None and self._delivered < expected - tolerated:
            yield (
                f"{name} is damaged or cut off: {self._delivered} of {expected} frames could be "
                "read and were used."
            )
        else:
            yield from self._source.warnings
        last = self._source.last_number
        if self._end is not None and last is not None and last < self._end:
            yield f"{name} ends with frame {last}, before the chosen end {self._end}."


def open_clip(
    path: Path, *, start: int | None = None, end: int | None = None, speed: float | None = None
) -> Clip:
    """Open a video, an image, a folder of images or a pattern that names an image sequence.

    A pattern is a name with `%04d`, `####`, `*` or `?`. The name of an image means only this image,
    even if it is numbered. Images are sorted by the numbers in their names and have 30 frames per
    second; a missing number keeps its time. Frames of a video are upright and have square pixels,
    as its header says; they are deinterlaced, and HDR looks as on a standard screen.

    Args:
        path: of the clip.
        start: number of the first frame to read, from 0.
        end: number of the last frame to read, inclusive.
        speed: how many times slower than life a video plays; None: as the file says, else 1.

    Raises:
        BadInputError: the clip cannot be read, or the range of frames is empty.
    """
    if start is not None and start < 0:
        raise BadInputError(f"The first frame is {start}: frames are numbered from 0.")
    if end is not None and end < (start or 0):
        raise BadInputError(f"The last frame ({end}) comes before the first ({start or 0}).")
    return Clip(_open_source(path if path.name else path.resolve(), speed), start, end)


def _open_source(path: Path, speed: float | None) -> Source:
    files = source_files(path)
    if len(files) == 1 and files[0].stat().st_size == 0:
        raise BadInputError(f"{files[0].name} is empty: copy or export it again.")
    if len(files) == 1 and is_sound(files[0]):
        raise BadInputError(f"{files[0].name} has no video: choose a video or pictures.")
    if files != [path]:
        return Pictures(path, files)
    if animation := animation_kind(path):
        return _open_animation(path, animation, speed)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        movie = Movie(path, speed)
        if not movie.is_picture:
            return movie
        movie.close()  # a picture whose name says that it is a video
        return Pictures(path, files)
    try:
        read_image(path)
    except BadInputError:
        movie = _movie_named_picture(path, speed)
        if movie is None:
            raise
        return movie
    return Pictures(path, files)


def _open_animation(path: Path, kind: str, speed: float | None) -> Source:
    if kind == "webp":
        return AnimatedPicture(path)
    movie = Movie(path, speed)
    if movie.num_frames != 1:
        return movie
    movie.close()  # one picture has no rate
    return Pictures(path, [path])


def _movie_named_picture(path: Path, speed: float | None) -> Movie | None:
    """Open a video whose suffix is that of a picture; None if it is none."""
    try:
        movie = Movie(path, speed)
    except BadInputError:
        return None
    if movie.is_picture:
        movie.close()
        return None
    return movie


def _start_error(source: Source, start: int) -> BadInputError:
    last = source.last_number
    if last is None or last < 0 or start <= last:
        return BadInputError(f"{source.path.name} holds no frame that can be read.")
    return BadInputError(
        f"{source.path.name} ends with frame {last}: choose a first frame before {last + 1}."
    )
