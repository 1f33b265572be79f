"""Small movies for tests, encoded by PyAV, of any codec, container, timing and geometry."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cli_clips
import numpy as np

SIZE = (64, 48)
FPS = 30


def pictures(count=5, size=SIZE):
    return [cli_clips.numbered_image(number, size) for number in range(count)]


def write_movie(
    path: Path,
    images: Sequence[np.ndarray],
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    *,
    rate: Fraction | int = FPS,
    ticks: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    container: str | None = None,
    container_options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
    configure: Callable[[av.VideoStream], object] = lambda stream: None,
    label: Callable[[av.VideoFrame], object] = lambda frame: None,
    **options: str,
) -> Path:
    """Write frames.

    Args:
        path: of the file.
        images: RGB, RGBA, or frames in `pix_fmt` itself.
        codec: name of FFmpeg's encoder.
        pix_fmt: of the coded pixels.
        rate: stated in the header.
        ticks: time stamps in `time_base`; None: a frame apart.
        time_base: of the stamps.
        container: format; None: by the suffix.
        container_options: of the format.
        metadata: of the file.
        configure: called with the stream before anything is coded.
        label: called with each frame before it is coded.
        **options: of the codec.
    """
    with av.open(
        str(path), "w", format=container, container_options=container_options or {}
    ) as output:
        output.metadata.update(metadata or {})
        stream = output.add_stream(codec, rate=rate)
        first = images[0]
        is_frame = isinstance(first, av.VideoFrame)
        height, width = (first.height, first.width) if is_frame else first.shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.options = options
        if time_base is not None:
            stream.codec_context.time_base = time_base
        configure(stream)
        for index, image in enumerate(images):
            frame = image
            if not is_frame:
                kind = "rgba" if image.shape[2] == 4 else "rgb24"
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), kind)
                frame = frame.reformat(format=pix_fmt)
            frame.pts = index if ticks is None else ticks[index]
            frame.time_base = time_base or 1 / Fraction(rate)
            label(frame)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def gray_frame(level: int, pix_fmt: str = "yuv420p10le", size=SIZE) -> av.VideoFrame:
    """Return a frame of one 10-bit luma code."""
    frame = av.VideoFrame(*size, pix_fmt)
    for index, plane in enumerate(frame.planes):
        code = level if index == 0 else 512
        plane.update(np.full(plane.buffer_size // 2, code, np.uint16).tobytes())
    return frame
