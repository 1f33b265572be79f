"""Inspect: a clip's properties and a small picture of it, in one JSON line."""

import base64
import contextlib
import json
import signal

import cli_clips
import numpy as np
import pytest

from hund_backend.__main__ import main
from hund_backend.commands.inspect import THUMBNAIL
from hund_backend.video import open_clip


def inspect(clip, capsys):
    with contextlib.ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.getsignal(number))
        code = main(["inspect", str(clip)])
    (line,) = capsys.readouterr().out.splitlines()
    return code, json.loads(line)


@pytest.mark.parametrize("num_frames", [1, 20])
def test_properties_are_those_of_the_open_clip(tmp_path, capsys, num_frames):
    path = cli_clips.write_video(tmp_path / "walk.mp4", num_frames=num_frames)
    code, reply = inspect(path, capsys)
    with open_clip(path) as clip:
        info = clip.info
    assert code == 0
    assert (reply["width"], reply["height"], reply["fps"]) == (info.width, info.height, info.fps)
    assert reply["frames"] == info.num_frames == num_frames


def test_thumbnail_has_the_proportions_of_the_clip_and_its_colors(tmp_path, capsys):
    path = cli_clips.write_video(tmp_path / "walk.mp4", num_frames=3)
    _, reply = inspect(path, capsys)
    picture = reply["thumbnail"]
    assert max(picture["width"], picture["height"]) == THUMBNAIL
    pixels = np.frombuffer(base64.b64decode(picture["rgb"]), np.uint8)
    pixels = pixels.reshape(picture["height"], picture["width"], 3)
    with open_clip(path) as clip:
        *_, frame = clip
    assert abs(pixels.mean((0, 1)) - frame.image.mean((0, 1))).max() < 5


def test_a_clip_that_cannot_be_read_is_an_error_event(tmp_path, capsys):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    code, reply = inspect(tmp_path / "bad.mp4", capsys)
    assert code == 2 and reply["event"] == "error" and "bad.mp4" in reply["message"]
