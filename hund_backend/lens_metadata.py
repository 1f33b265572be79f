"""Lens metadata: focal length and orientation that a camera wrote into a picture or a video.

The focal lengths of EXIF and QuickTime are equivalents for 35 mm film, which compare diagonals.
Imports no cv2.
"""

import contextlib
import math
import struct
from collections.abc import Iterator
from pathlib import Path

from .sources import IMAGE_SUFFIXES

FILM_DIAGONAL_MM = math.hypot(36, 24)
LIMITS_MM = (8.0, 800.0)  # outside, the entry is an error
CROPPED = 0.02  # relative difference of proportions from which a picture was cropped
QUICKTIME_KEYS = (b"com.apple.quicktime.camera.focal_length.35mm_equivalent",)
_HEAD_BYTES = 2**20  # of a picture, in which its EXIF block lies
_MAX_MOVIE_BYTES = 2**26  # of the index of a video
_ORIENTATION = 0x0112
_EXIF_POINTER, _FOCAL_35MM, _WIDTH, _HEIGHT = 0x8769, 0xA405, 0xA002, 0xA003
_CONTAINERS = (b"moov", b"udta", b"trak", b"meta")


def focal_length_px(path: Path, width: int, height: int) -> float | None:
    """Return the focal length that a file states, pixels; None if it states none.

    Args:
        path: of a picture or a video.
        width: of the picture, px.
        height: of the picture, px.
    """
    # Whatever is wrong in a file's notes, the picture itself can be used.
    with contextlib.suppress(OSError, struct.error, ValueError, IndexError, OverflowError):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            millimetres = _of_picture(path, width, height)
        else:
            millimetres = _of_video(path)
        if millimetres is not None and LIMITS_MM[0] <= millimetres <= LIMITS_MM[1]:
            return millimetres / FILM_DIAGONAL_MM * math.hypot(width, height)
    return None


def exif_orientation(path: Path) -> int:
    """Return the orientation that a picture states, 1 to 8 as in EXIF; 1 (upright) without one.

    Only of kinds of files whose orientation `read_image` applies.
    """
    with contextlib.suppress(OSError, struct.error, ValueError, IndexError, OverflowError):
        if path.suffix.lower() in {".jpeg", ".jpg", ".png", ".webp"}:
            with path.open("rb") as file:
                block = _exif_block(file.read(_HEAD_BYTES))
            stated = 0 if block is None else _exif_tags(block).get(_ORIENTATION, 0)
            return stated if 1 <= stated <= 8 else 1
    return 1


def _of_picture(path: Path, width: int, height: int) -> float | None:
    with path.open("rb") as file:
        block = _exif_block(file.read(_HEAD_BYTES))
    if block is None:
        return None
    tags = _exif_tags(block)
    stated = tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0)
    if min(stated) > 0:
        proportions = max(stated) / min(stated), max(width, height) / min(width, height)
        if abs(proportions[0] / proportions[1] - 1) > CROPPED:
            return None
    return float(tags[_FOCAL_35MM]) if tags.get(_FOCAL_35MM) else None


def _exif_block(head: bytes) -> bytes | None:
    """Return the EXIF block, which is laid out as a TIFF file."""
    if head[:4] in (b"II*\0", b"MM\0*"):
        return head
    if head[:2] == b"\xff\xd8":
        place = 2
        while place + 4 <= len(head) and head[place] == 0xFF and head[place + 1] != 0xDA:
            (length,) = struct.unpack(">H", head[place + 2 : place + 4])
            segment = head[place + 4 : place + 2 + length]
            if head[place + 1] == 0xE1 and segment.startswith(b"Exif\0\0"):
                return segment[6:]
            place += 2 + length
        return None
    if head.startswith(b"\x89PNG"):
        return _chunk(head, 8, b"eXIf", ">", name_first=False)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        block = _chunk(head, 12, b"EXIF", "<", name_first=True)
        return block and block.removeprefix(b"Exif\0\0")
    return None


def _chunk(
    head: bytes, place: int, wanted: bytes, order: str, *, name_first: bool
) -> bytes | None:
    """Return the content of a chunk of a PNG (length, name, content, sum) or a WebP file."""
    while place + 8 <= len(head):
        first, second = head[place : place + 4], head[place + 4 : place + 8]
        name, size = (first, second) if name_first else (second, first)
        (length,) = struct.unpack(f"{order}I", size)
        if name == wanted:
            return head[place + 8 : place + 8 + length]
        place += 8 + length + (length % 2 if name_first else 4)
    return None


def _exif_tags(block: bytes) -> dict[int, int]:
    """Return the whole numbers of the first directory and of its EXIF directory."""
    order = "<" if block[:2] == b"II" else ">"
    (place,) = struct.unpack(f"{order}I", block[4:8])
    tags = _directory(block, place, order)
    if _EXIF_POINTER in tags:
        tags |= _directory(block, tags[_EXIF_POINTER], order)
    return tags


def _directory(block: bytes, place: int, order: str) -> dict[int, int]:
    (count,) = struct.unpack(f"{order}H", block[place : place + 2])
    tags = {}
    for entry in range(count):
        start = place + 2 + 12 * entry
        tag, kind, number = struct.unpack(f"{order}HHI", block[start : start + 8])
        if number == 1 and kind in (3, 4):  # SHORT, LONG
            form, end = ("H", start + 10) if kind == 3 else ("I", start + 12)
            (tags[tag],) = struct.unpack(f"{order}{form}", block[start + 8 : end])
    return tags


def _of_video(path: Path) -> float | None:
    """Return the equivalent in the metadata of a QuickTime or MP4 file, millimetres."""
    with path.open("rb") as file:
        size, place = path.stat().st_size, 0
        while place + 8 <= size:
            file.seek(place)
            length, kind = struct.unpack(">I4s", file.read(8))
            header = 8
            if length == 1:
                (length,), header = struct.unpack(">Q", file.read(8)), 16
            length = length or size - place
            if length < header:
                return None
            if kind == b"moov" and length <= _MAX_MOVIE_BYTES:
                return _of_movie(file.read(length - header))
            place += length
    return None


def _of_movie(content: bytes) -> float | None:
    for meta in _metas(content):
        boxes = dict(_boxes(meta))
        if b"keys" not in boxes or b"ilst" not in boxes:
            continue
        keys = [name for _, name in _boxes(boxes[b"keys"][8:])]
        for index, item in _boxes(boxes[b"ilst"]):
            number = int.from_bytes(index, "big")
            if 0 < number <= len(keys) and keys[number - 1] in QUICKTIME_KEYS:
                data = dict(_boxes(item)).get(b"data")
                if data is not None:
                    return _number(int.from_bytes(data[:4], "big"), data[8:])
    return None


def _metas(content: bytes) -> Iterator[bytes]:
    """Yield the metadata boxes of a movie, of its tracks and its user data."""
    for kind, box in _boxes(content):
        if kind == b"meta":
            # An MP4's box begins with a version, a QuickTime file's does not.
            yield box if box[4:8] in (b"hdlr", b"keys") else box[4:]
        elif kind in _CONTAINERS:
            yield from _metas(box)


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of the boxes in a box."""
    place = 0
    while place + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        if length < 8:
            return
        yield kind, content[place + 8 : place + length]
        place += length


def _number(kind: int, value: bytes) -> float | None:
    """Return a metadata value as a number, by its well-known type."""
    if kind == 1:  # UTF-8
        return float(value.decode("utf-8", "replace"))
    if kind in (23, 24):  # floating point
        return struct.unpack(">f" if kind == 23 else ">d", value)[0]
    if kind in (21, 22, *range(65, 79)):  # whole numbers
        return float(int.from_bytes(value, "big"))
    return None
