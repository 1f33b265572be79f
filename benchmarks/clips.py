"""Clips for benchmarks, made once from the demo clip and kept in the cache."""

from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np

from hund_backend.atomic_write import atomic_write
from hund_backend.preview import check_video
from hund_backend.video import open_clip
from tools.cache import cache_folder
from tools.get_demo_clip import get_demo_clip

FULL_HD = (1920, 1080)
_PERIOD, _SEEN = 1000, 100  # frames


def walker(num_frames: int, size: tuple[int, int] = FULL_HD) -> Path:
    """Return the demo's walker, forwards and backwards, at a length and a size (width, height)."""
    path = cache_folder() / "benchmarks" / f"walker-{size[0]}x{size[1]}-{num_frames}.mp4"
    if path.exists():
        return path
    with atomic_write(path) as [part]:
        writer = cv2.VideoWriter(str(part), cv2.VideoWriter_fourcc(*"mp4v"), 30.0, size)
        for image in islice(_forwards_and_backwards(get_demo_clip()), num_frames):
            scaled = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
            writer.write(cv2.cvtColor(scaled, cv2.COLOR_RGB2BGR))
        writer.release()
        check_video(part, num_frames)
    return path


def seldom_walker(num_frames: int, size: tuple[int, int]) -> Path:
    """Return a clip in which the walker is in view for a tenth of the time, else nobody."""
    path = cache_folder() / "benchmarks" / f"seldom-{size[0]}x{size[1]}-{num_frames}.mp4"
    if path.exists():
        return path
    with open_clip(get_demo_clip()) as frames:
        shown = [cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA) for frame in frames]
    empty = np.median(shown, axis=0).astype(np.uint8)
    with atomic_write(path) as [part]:
        writer = cv2.VideoWriter(str(part), cv2.VideoWriter_fourcc(*"mp4v"), 30.0, size)
        for number in range(num_frames):
            place = number % _PERIOD
            image = shown[place % len(shown)] if place < _SEEN else empty
            writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        writer.release()
        check_video(part, num_frames)
    return path


def _forwards_and_backwards(clip: Path) -> Iterator[np.ndarray]:
    """Yield RGB images of a clip forwards, backwards, … without end; motion has no jumps."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
    with open_clip(clip) as frames:  # kept compressed: 230 frames would be a gigabyte
        compressed = [cv2.imencode(".jpg", frame.image, quality)[1] for frame in frames]
    for image in cycle([*compressed, *compressed[-2:0:-1]]):
        yield cv2.imdecode(image, cv2.IMREAD_COLOR)
