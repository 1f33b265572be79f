"""Frames of a clip, and what is known of the clip before it is read."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

UPRIGHT = 1  # EXIF orientation


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame of a clip."""

    number: int  # index in the source, from 0
    time: float  # seconds from the start of the source
    image: UInt8[np.ndarray, "height width 3"]  # RGB, upright, square pixels


@dataclass(frozen=True, kw_only=True)
class Footage:
    """Differences between a clip's frames and the pictures that other programs show of the file.

    Other programs may ignore the orientation and the pixel aspect ratio, and count the pictures of
    a video by the rate in its header, whatever the time stamps say.
    """

    fps: float  # pictures by the header's rate in a second of `Frame.time`
    orientation: int = UPRIGHT  # EXIF: how the stored picture has to be turned to be upright
    pixel_aspect: float = 1.0  # width by height of a stored pixel
    speed: float = 1.0  # how many times slower than life the file plays


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """Properties of a clip that are known before it is read."""

    path: Path
    width: int  # pixels of the upright frame
    height: int
    fps: float  # nominal rate; the frames' times are exact
    num_frames: int | None  # frames expected between start and end; None while unknown
    footage: Footage | None = None  # None: in files written before it was recorded


class Source(ABC):
    """Decoder of a clip's files."""

    path: Path
    fps: float  # nominal rate
    last_number: int | None  # of the last frame; None while unknown
    footage: Footage
    notes: list[str]  # sentences on how frames differ from what is stored, so far
    warnings: list[str]  # sentences on what could not be read, so far

    @abstractmethod
    def frames(self, start: int) -> Iterator[Frame]:
        """Yield the frames whose number is `start` or higher."""

    @abstractmethod
    def expected(self, start: int, end: int | None) -> int | None:
        """Return the number of frames in a range, by the header; None while unknown."""

    @abstractmethod
    def close(self) -> None:
        """Close the files."""
