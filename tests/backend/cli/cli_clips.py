"""Small synthetic clips for the command-line tests, some of them damaged."""

import struct
from pathlib import Path

import cv2
import numpy as np

FPS = 30.0


def numbered_image(number, size=(64, 48)):
    """RGB picture whose level is its number, with a white mark in the top left corner."""
    image = np.full((size[1], size[0], 3), 20 + 9 * (number % 24), np.uint8)
    image[: size[1] // 4, : size[0] // 4] = 255
    return image


def number_of(image):
    return round((float(np.median(image)) - 20) / 9)


def write_video(path: Path, num_frames=10, size=(64, 48), codec="mp4v") -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), FPS, size)
    assert writer.isOpened()
    for number in range(num_frames):
        writer.write(numbered_image(number, size))
    writer.release()
    return path


def _boxes(data: bytes, start: int, end: int):
    while start + 8 <= end:
        size, kind = struct.unpack(">I4s", data[start : start + 8])
        yield kind, start, start + size
        start += size


def _find(data: bytes, *kinds: bytes) -> list[tuple[int, int]]:
    """Spans of nested boxes of an mp4, the outermost first."""
    spans, start, end = [], 0, len(data)
    for kind in kinds:
        span = next((a, z) for found, a, z in _boxes(data, start, end) if found == kind)
        spans.append(span)
        start, end = span[0] + 8, span[1]
    return spans


def _replace(data: bytes, kinds: tuple[bytes, ...], new: bytes) -> bytes:
    *parents, (start, end) = _find(data, *kinds)
    out = bytearray(data[:start] + new + data[end:])
    for parent, _ in parents:
        size = struct.unpack(">I", out[parent : parent + 4])[0] + len(new) - (end - start)
        out[parent : parent + 4] = struct.pack(">I", size)
    return bytes(out)


def rotate_right(path: Path) -> None:
    """Set the header's rotation flag to 90 degrees clockwise."""
    data = path.read_bytes()
    kinds = (b"moov", b"trak", b"tkhd")
    start, end = _find(data, *kinds)[-1]
    box = bytearray(data[start:end])
    box[48:84] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    path.write_bytes(_replace(data, kinds, bytes(box)))


SAMPLE_TABLE = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def vary_frame_rate(path: Path, durations: list[int]) -> float:
    """Set each frame's duration, in ticks with the same sum; return the ticks per second."""
    data = path.read_bytes()
    runs = b"".join(struct.pack(">II", 1, ticks) for ticks in durations)
    box = struct.pack(">I4sII", 16 + len(runs), b"stts", 0, len(durations)) + runs
    path.write_bytes(_replace(data, (*SAMPLE_TABLE, b"stts"), box))
    start, _ = _find(data, b"moov", b"trak", b"mdia", b"mdhd")[-1]
    return struct.unpack(">I", data[start + 20 : start + 24])[0]


def truncate(path: Path, kept: float) -> None:
    """Keep the first part of the picture data after the header, as in an incomplete download."""
    data = path.read_bytes()
    (start, end) = _find(data, b"moov")[0]
    header = bytearray(data[start:end])
    table, _ = _find(bytes(header), b"moov", b"trak", *SAMPLE_TABLE[2:], b"stco")[-1]
    for entry in range(struct.unpack(">I", header[table + 12 : table + 16])[0]):
        position = table + 16 + 4 * entry
        offset = struct.unpack(">I", header[position : position + 4])[0] + len(header)
        header[position : position + 4] = struct.pack(">I", offset)
    (first, *_) = _find(data, b"ftyp")
    media = data[first[1] : start]
    path.write_bytes(data[: first[1]] + header + media[: int(len(media) * kept)])
