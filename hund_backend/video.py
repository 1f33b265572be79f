"""Clips: frames of a video, an image sequence or an image, with their time stamps."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

# FFmpeg reads these when it is first used: -8 is quiet, and playlists cannot open URLs.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;file")
import cv2
import numpy as np
from jaxtyping import UInt8

from .errors import BadInputError
from .image_file import read_image
from .sources import IMAGE_SUFFIXES, has_only_sound, is_sound, source_files

# OpenCV prints errors of its own; the user gets one sentence of ours instead.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

DEFAULT_FPS = 30.0  # of image sequences, and of videos without a valid rate
FPS_LIMITS = (0.1, 1000.0)  # a rate outside is an error of the header
FRAMES_AHEAD = 4  # decoded in advance; 25 MB each in 4K
MISSING_TOLERATED = 2  # frames by which a good header may overstate (edit lists, estimates)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame of a clip."""

    number: int  # index in the source, from 0
    time: float  # seconds from the start of the source
    image: UInt8[np.ndarray, "height width 3"]  # RGB, upright


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """Properties of a clip that are known before it is read."""

    path: Path
    width: int  # pixels of the upright frame
    height: int
    fps: float  # nominal rate; the frames' times are exact
    num_frames: int | None  # frames expected between start and end; None while unknown


class _VideoFile:
    """A video file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            if has_only_sound(path):
                raise _no_video_error(path)
            raise BadInputError(
                f"{path.name} is no video that can be read, or holds no frames: play it to check, "
                "then convert it to an H.264 mp4."
            )
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if FPS_LIMITS[0] <= fps <= FPS_LIMITS[1] else DEFAULT_FPS
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.num_frames = count if count > 0 else None

    def frames(self, start: int) -> Iterator[Frame]:
        """Yield frames from `start` on; earlier ones are decoded too, since seeking is inexact."""
        number, time = 0, -1.0
        while self._capture.grab():
            stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            # Some containers give no stamp or the same one twice; times have to ascend.
            time = stamp if stamp > time else time + 1 / self.fps
            if number >= start:
                decoded, image = self._capture.retrieve()
                if decoded:
                    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                    yield Frame(number=number, time=time, image=image)
            number += 1
        if number <= start:
            raise _start_error(self.path, start, number)

    def close(self) -> None:
        self._capture.release()


class _ImageSequence:
    """A sequence of images, or one image."""

    fps = DEFAULT_FPS

    def __init__(self, path: Path, files: list[Path]) -> None:
        self.path = path
        self._files = files
        self.num_frames = len(files)

    def frames(self, start: int) -> Iterator[Frame]:
        """Yield frames from `start` on; unreadable images of a sequence are skipped."""
        if start >= len(self._files):
            raise _start_error(self.path, start, len(self._files))
        for number, path in enumerate(self._files[start:], start=start):
            try:
                image = read_image(path)
            except BadInputError:
                if len(self._files) == 1:
                    raise
                continue
            yield Frame(number=number, time=number / self.fps, image=image)

    def close(self) -> None:
        pass


class Clip(AbstractContextManager, Iterator):
    """Frames of a clip in order; a context manager and an iterator.

    A thread decodes a few frames ahead, so memory does not grow with the clip.
    """

    info: ClipInfo
    truncated: str | None  # after the last frame: a sentence if frames are missing

    def __init__(
        self, source: _VideoFile | _ImageSequence, start: int | None, end: int | None
    ) -> None:
        self._source = source
        self._end = end
        self._delivered = 0
        self.truncated = None
        self._frames = source.frames(start or 0)
        self._first_frame = next(self._frames, None)
        if self._first_frame is None:
            source.close()
            raise BadInputError(f"{source.path.name} holds no frame that can be read.")
        height, width = self._first_frame.image.shape[:2]
        self.info = ClipInfo(
            path=source.path,
            width=width,
            height=height,
            fps=source.fps,
            num_frames=_expected(source.num_frames, start or 0, end),
        )
        self._selected = self._select()
        self._reader = ThreadPoolExecutor(max_workers=1)
        self._queue: deque[Future[Frame | None]] = deque()
        self._closed = False

    def __next__(self) -> Frame:
        if self._closed:
            raise StopIteration
        while len(self._queue) < FRAMES_AHEAD:
            self._queue.append(self._reader.submit(next, self._selected, None))
        frame = self._queue.popleft().result()
        if frame is None:
            self.truncated = self._truncation()
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

    def close(self) -> None:
        """Stop decoding and close the file; no more frames follow."""
        self._closed = True
        self._reader.shutdown(cancel_futures=True)
        self._source.close()

    def _select(self) -> Iterator[Frame]:
        """Yield frames up to the end, all of one size."""
        frame = self._first_frame
        while frame is not None and (self._end is None or frame.number <= self._end):
            height, width = frame.image.shape[:2]
            if (width, height) != (self.info.width, self.info.height):
                raise BadInputError(
                    f"Frame {frame.number} of {self.info.path.name} is {width} x {height} pixels "
                    f"and the first {self.info.width} x {self.info.height}: give frames of one "
                    "size, or single pictures one by one."
                )
            yield frame
            frame = next(self._frames, None)

    def _truncation(self) -> str | None:
        """Return a sentence on missing frames, None if there are none."""
        expected, name = self.info.num_frames, self.info.path.name
        tolerated = 0 if isinstance(self._source, _ImageSequence) else MISSING_TOLERATED
        if expected is not None and self._delivered < expected - tolerated:
            return (
                f"{name} is damaged or cut off: {self._delivered} of {expected} frames could be "
                "read and were used."
            )
        last = (self._source.num_frames or 0) - 1
        if self._end is not None and 0 <= last < self._end:
            return f"{name} ends with frame {last}, before the chosen end {self._end}."
        return None


def open_clip(path: Path, *, start: int | None = None, end: int | None = None) -> Clip:
    """Open a video, an image, a folder of images or a pattern that names an image sequence.

    A pattern is a name with `%04d`, `####`, `*` or `?`. The name of an image means only this image,
    even if it is numbered. Images are sorted by the numbers in their names and have 30 frames per
    second. A video is rotated upright as its header says.

    Args:
        path: of the clip.
        start: number of the first frame to read, from 0.
        end: number of the last frame to read, inclusive.

    Raises:
        BadInputError: the clip cannot be read, or the range of frames is empty.
    """
    if start is not None and start < 0:
        raise BadInputError(f"The first frame is {start}: frames are numbered from 0.")
    if end is not None and end < (start or 0):
        raise BadInputError(f"The last frame ({end}) comes before the first ({start or 0}).")
    return Clip(_open_source(path if path.name else path.resolve()), start, end)


def _open_source(path: Path) -> _VideoFile | _ImageSequence:
    files = source_files(path)
    if len(files) == 1 and files[0].stat().st_size == 0:
        raise BadInputError(f"{files[0].name} is empty: copy or export it again.")
    if len(files) == 1 and is_sound(files[0]):
        raise _no_video_error(files[0])
    if files == [path] and path.suffix.lower() not in IMAGE_SUFFIXES:
        return _VideoFile(path)
    return _ImageSequence(path, files)


def _expected(num_frames: int | None, start: int, end: int | None) -> int | None:
    if num_frames is None:
        return None
    return min(num_frames, num_frames if end is None else end + 1) - start


def _no_video_error(path: Path) -> BadInputError:
    return BadInputError(f"{path.name} has no video: choose a video or pictures.")


def _start_error(path: Path, start: int, num_frames: int) -> BadInputError:
    if not num_frames:
        return BadInputError(f"{path.name} holds no frame that can be read.")
    return BadInputError(
        f"{path.name} ends with frame {num_frames - 1}: choose a first frame before {start}."
    )
