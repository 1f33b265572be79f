"""Movie: a video file, decoded by FFmpeg (PyAV)."""

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
from jaxtyping import UInt8

from ..errors import BadInputError
from ..sources import has_only_sound
from . import timing
from .color import is_hdr, to_rgb
from .deinterlacing import Deinterlacer
from .frame import Footage, Frame, Source
from .orientation import orientation_of_matrix, turn_upright

PIXEL_ASPECT_LIMITS = (0.1, 10.0)  # a ratio outside is an error of the header
PROBED_PACKETS = 60  # at the beginning, for the rate
PROBED_BYTES = 2**26
COUNTED_BYTES = 2**28  # largest file whose frames are counted where it has no index
MISSING_SECONDS, MISSING_SHARE = 0.5, 0.1  # by which a header may overstate the duration
MAX_ERRORS = 1000  # in a row, while reading; the rest of the file is then given up
THREAD_PIXELS = 2**26  # most that are decoded at the same time
_DISCARDED = 2  # flag of a frame in the index that an edit list leaves out
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own ignore transparency

# FFmpeg's own messages are dropped: the user gets one sentence of ours. They must not reach Python:
# a decoding thread would wait for the interpreter, which waits for that thread as it closes a file.
av.logging.set_level(None)


class Movie(Source):
    """A video file."""

    def __init__(self, path: Path, speed: float | None = None) -> None:
        """Open a file.

        Args:
            path: of the file.
            speed: how many times slower than life it plays; None: as the file says, else 1.

        Raises:
            BadInputError: it holds no video that can be read.
        """
        self.path = path
        self.notes: list[str] = []
        self.last_number: int | None = None
        self._container = open_container(path)
        self._stream = _choose_stream(self._container, path)
        self._decoder = _decoder_of(self._stream)
        average, guessed = _rate(self._stream.average_rate), _rate(self._stream.guessed_rate)
        stamps = _stamps(path)
        header = average or guessed if stamps else guessed or average
        fps = timing.nominal_fps(stamps, header, is_indexed=self._stream.frames > len(stamps))
        if speed is None:
            metadata = {**self._container.metadata, **self._stream.metadata}
            speed = timing.playback_speed(metadata, fps)
        if speed != 1:
            self.notes.append(f"It plays {speed:.4g} times slower than it was recorded.")
        self._clock = timing.Clock(fps, speed)
        self.fps = fps * speed
        self._seconds = _duration(self._container, self._stream)
        self.num_frames = _indexed(self._stream)
        if self.num_frames is None and path.stat().st_size <= COUNTED_BYTES:
            self.num_frames = sum(1 for _ in _packets_of(path)) or None
        elif self.num_frames is None and self._seconds is not None:
            self.num_frames = max(1, round(self._seconds * fps))
        self._is_damaged, self._is_good = False, False
        self._deinterlacer = Deinterlacer(self._stream.time_base)
        self._decoded = self._decode()
        self._first = next(self._decoded, None)
        self.footage = Footage(
            fps=(guessed or fps) * speed,
            orientation=_orientation(self._first),
            pixel_aspect=_pixel_aspect(self._stream),
            speed=speed,
        )
        if self._first is not None and is_hdr(self._first):
            self.notes.append("It is HDR: its colors were mapped to those of a standard screen.")

    def frames(self, start: int) -> Iterator[Frame]:
        """Yield frames from `start` on; earlier ones are decoded too, since seeking is inexact."""
        number = 0
        frame, self._first = self._first, None
        while frame is not None:
            time = self._clock.time(frame.time)
            if number >= start:
                yield Frame(number=number, time=time, image=self._upright(frame))
            number += 1
            frame = next(self._decoded, None)
        self.last_number = number - 1

    @property
    def warnings(self) -> list[str]:
        """Sentences on what could not be read so far."""
        name = self.path.name
        if self._is_damaged:
            return [f"{name} is damaged: the frames before and after the damage were used."]
        read = (self._clock.last + self._clock.step) if self.last_number is not None else None
        if read and _is_shorter(read, self._seconds) and not self._container.streams.audio:
            seconds = f"{read:.1f} of {self._seconds:.1f} seconds"
            return [f"{name} is cut off: {seconds} could be read and were used."]
        return []

    @property
    def is_picture(self) -> bool:
        """Whether the file is a single picture, whatever its name says."""
        name = self._container.format.name
        return name == "image2" or name.endswith("_pipe")

    def expected(self, start: int, end: int | None) -> int | None:
        """Return the number of frames in a range; None while unknown."""
        if self.num_frames is None:
            return None
        return min(self.num_frames, self.num_frames if end is None else end + 1) - start

    def close(self) -> None:
        """Close the file."""
        self._decoded.close()
        self._container.close()

    def _decode(self) -> Iterator[av.VideoFrame]:
        """Yield frames as stored, deinterlaced; what is damaged is left out."""
        for packet in self._packets():
            try:
                frames = self._decoder.decode(packet)
            except av.FFmpegError:
                self._is_damaged = True
                continue
            self._is_damaged |= packet is not None and packet.is_corrupt
            for frame in frames:
                if frame.is_corrupt and self._is_good:
                    self._is_damaged = True
                    continue
                # Frames before the first whole one are all that some streams have for long.
                self._is_good |= not frame.is_corrupt
                if frame.interlaced_frame and not self._deinterlacer.is_used:
                    self.notes.append(
                        "It is interlaced: whole frames were made of its half frames."
                    )
                frame.time_base = self._stream.time_base  # the last ones come without
                yield from self._deinterlacer.put(frame)
        yield from self._deinterlacer.finish()

    def _packets(self) -> Iterator[av.Packet | None]:
        """Yield packets, then None; go on behind what cannot be read."""
        errors = 0
        while errors < MAX_ERRORS:
            try:
                for packet in self._container.demux(self._stream):
                    if packet.size:
                        errors = 0
                        yield packet
                break
            except av.FFmpegError:
                errors += 1
                self._is_damaged = True
        yield None

    def _upright(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
        """Return a decoded frame as RGB, with square pixels, upright."""
        image, aspect = to_rgb(frame), self.footage.pixel_aspect
        if aspect != 1:
            height, width = image.shape[:2]
            size = (round(width * max(aspect, 1)), round(height * max(1 / aspect, 1)))
            image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
        return turn_upright(image, self.footage.orientation)


def open_container(path: Path) -> av.container.InputContainer:
    """Open a file, and nothing but this file: a playlist in it opens no connection.

    Raises:
        BadInputError: it is no video.
    """
    try:
        # The protocol is named, so that no name of a file is taken for one.
        return av.open(f"file:{path.resolve()}", options={"protocol_whitelist": "file"})
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _no_video(path) from error


def _no_video(path: Path) -> BadInputError:
    if has_only_sound(path):
        return BadInputError(f"{path.name} has no video: choose a video or pictures.")
    return BadInputError(
        f"{path.name} is no video that can be read, or holds no frames: play it to check, "
        "then convert it to an H.264 mp4."
    )


def _choose_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """Return the moving picture: no picture of the cover; of several the largest.

    Raises:
        BadInputError: there is none that can be decoded.
    """
    cover = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    moving = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not moving and (container.streams.audio or container.streams.video):
        raise BadInputError(f"{path.name} has no video: choose a video or pictures.")
    if not moving:
        raise _no_video(path)
    usable = [stream for stream in moving if stream.codec_context is not None]
    if not usable:
        raise BadInputError(
            f"{path.name} is coded in a way that cannot be decoded here: convert it to an H.264 "
            "mp4."
        )
    default = av.stream.Disposition.default
    best = max(
        usable,
        key=lambda each: (
            each.codec_context.width * each.codec_context.height,
            bool(each.disposition & default),
        ),
    )
    best.thread_type = "AUTO"
    pixels = max(best.codec_context.width * best.codec_context.height, 1)
    best.codec_context.thread_count = max(1, min(os.cpu_count() or 1, THREAD_PIXELS // pixels))
    return best


def _decoder_of(stream: av.VideoStream) -> av.VideoCodecContext:
    """Return the decoder of a stream; for transparent video one that keeps the transparency."""
    context = stream.codec_context
    name = _ALPHA_DECODERS.get(context.name)
    if name not in av.codecs_available or stream.metadata.get("alpha_mode") != "1":
        return context
    decoder = av.CodecContext.create(name, "r")
    decoder.extradata = context.extradata
    return decoder


def _rate(rate: Fraction | None) -> float | None:
    return float(rate) if rate else None


def _packets_of(path: Path) -> Iterator[av.Packet]:
    """Yield a video's packets without decoding them, up to the first that cannot be read."""
    with open_container(path) as container, contextlib.suppress(av.FFmpegError):
        for packet in container.demux(_choose_stream(container, path)):
            if packet.size and not packet.is_discard:
                yield packet


def _stamps(path: Path) -> list[float]:
    """Return the time stamps of the first packets, seconds, in the order of the file."""
    stamps, size = [], 0
    for packet in islice(_packets_of(path), PROBED_PACKETS):
        if packet.pts is not None:
            stamps.append(float(packet.pts * packet.time_base))
        size += packet.size
        if size > PROBED_BYTES:
            break
    return stamps


def _indexed(stream: av.VideoStream) -> int | None:
    """Return the number of frames by the file's index; None without one."""
    if stream.frames <= 0:
        return None
    index = stream.index_entries
    if len(index) == stream.frames:  # edit lists leave out some
        return sum(not entry.flags & _DISCARDED for entry in index)
    return stream.frames


def _duration(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    """Return the seconds that a file's header says that its video lasts."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    if not container.duration:
        return None
    seconds = container.duration / av.time_base
    if "matroska" in container.format.name and stream.start_time:  # counts from 0
        seconds -= float(stream.start_time * stream.time_base)
    return seconds


def _is_shorter(read: float, stated: float | None) -> bool:
    return stated is not None and read < stated - max(MISSING_SECONDS, MISSING_SHARE * stated)


def _pixel_aspect(stream: av.VideoStream) -> float:
    ratio = _rate(stream.sample_aspect_ratio) or 1.0
    return ratio if PIXEL_ASPECT_LIMITS[0] <= ratio <= PIXEL_ASPECT_LIMITS[1] else 1.0


def _orientation(frame: av.VideoFrame | None) -> int:
    matrix = None if frame is None else frame.side_data.get("DISPLAYMATRIX")
    return orientation_of_matrix(None if matrix is None else bytes(matrix))
