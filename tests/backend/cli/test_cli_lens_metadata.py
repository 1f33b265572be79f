"""Lens metadata: the focal length that cameras write into pictures and videos."""

import math
import struct

import cli_clips
import cv2
import numpy as np
import pytest

from hund_backend.lens_metadata import focal_length_px
from hund_backend.video import open_clip

SIZE = (64, 48)
DIAGONAL = math.hypot(*SIZE)
FILM = math.hypot(36, 24)


def exif(millimetres, order="<", size=None):
    """An EXIF block whose second directory holds the equivalent focal length."""
    tags = [(0xA405, 3, millimetres)]
    if size:
        tags += [(0xA002, 4, size[0]), (0xA003, 4, size[1])]
    entries = b""
    for tag, kind, value in sorted(tags):
        number = struct.pack(f"{order}H" if kind == 3 else f"{order}I", value).ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", tag, kind, 1) + number
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    first = struct.pack(f"{order}HHHII", 1, 0x8769, 4, 1, 26) + bytes(4)
    return head + first + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def picture(path, block):
    image = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    content = cv2.imencode(path.suffix, image)[1].tobytes()
    if path.suffix == ".png":
        chunk = struct.pack(">I", len(block)) + b"eXIf" + block + bytes(4)
        content = content[:33] + chunk + content[33:]
    elif path.suffix == ".webp":
        content += b"EXIF" + struct.pack("<I", len(block)) + block
    else:
        segment = b"Exif\0\0" + block
        content = content[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
        content += cv2.imencode(path.suffix, image)[1].tobytes()[2:]
    path.write_bytes(content)
    return path


def box(kind, content):
    return struct.pack(">I", 8 + len(content)) + kind + content


def quicktime_meta(value, *, kind=1, version=b""):
    key = b"com.apple.quicktime.camera.focal_length.35mm_equivalent"
    keys = bytes(4) + struct.pack(">I", 2) + box(b"mdta", b"com.other") + box(b"mdta", key)
    item = box(struct.pack(">I", 2), box(b"data", struct.pack(">II", kind, 0) + value))
    handler = box(b"hdlr", bytes(8) + b"mdta" + bytes(13))
    return box(b"meta", version + handler + box(b"keys", keys) + box(b"ilst", item))


def video(path, meta):
    """A video whose index has one box more; it lies behind the frames, whose places stay."""
    content = cli_clips.write_video(path, num_frames=2).read_bytes()
    place = content.rindex(b"moov") - 4
    (length,) = struct.unpack(">I", content[place : place + 4])
    movie = content[place + 8 : place + length] + meta
    assert content[place:].startswith(struct.pack(">I", len(content) - place))
    path.write_bytes(content[:place] + box(b"moov", movie))
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_picture_states_its_equivalent_focal_length(tmp_path, suffix, order):
    path = picture(tmp_path / f"photo{suffix}", exif(26, order))
    assert focal_length_px(path, *SIZE) == pytest.approx(26 / FILM * DIAGONAL)
    with open_clip(path) as clip:  # the note does not make it unreadable
        assert (clip.info.width, clip.info.height) == SIZE


@pytest.mark.parametrize(
    ("size", "counts"), [((640, 480), True), ((480, 640), True), ((640, 300), False)]
)
def test_a_cropped_picture_states_nothing(tmp_path, size, counts):
    path = picture(tmp_path / "photo.jpg", exif(26, size=size))
    assert (focal_length_px(path, *SIZE) is not None) == counts


@pytest.mark.parametrize("version", [b"", bytes(4)])
@pytest.mark.parametrize(
    ("value", "kind"), [(b"26", 1), (struct.pack(">f", 26), 23), (struct.pack(">I", 26), 22)]
)
def test_a_video_states_its_equivalent_focal_length(tmp_path, version, value, kind):
    path = video(tmp_path / "clip.mp4", quicktime_meta(value, kind=kind, version=version))
    assert focal_length_px(path, *SIZE) == pytest.approx(26 / FILM * DIAGONAL)
    with open_clip(path) as clip:
        assert clip.info.num_frames == 2


@pytest.mark.parametrize("millimetres", [0, 1, 5000])
def test_an_impossible_focal_length_is_none(tmp_path, millimetres):
    assert focal_length_px(picture(tmp_path / "photo.jpg", exif(millimetres)), *SIZE) is None


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".mp4"])
def test_files_without_or_with_damaged_notes_state_nothing(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    if suffix == ".mp4":
        whole = video(path, quicktime_meta(b"x mm")).read_bytes()
    else:
        whole = picture(path, exif(26)[:20]).read_bytes()
    assert focal_length_px(path, *SIZE) is None
    for length in (0, 3, 11, 30, len(whole) // 2):
        path.write_bytes(whole[:length])
        assert focal_length_px(path, *SIZE) is None
    assert focal_length_px(tmp_path / f"missing{suffix}", *SIZE) is None
