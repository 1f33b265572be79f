"""Batches: an error costs its clip only, and no file is made before it is needed."""

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import cli_clips
import cli_fakes
import pytest

from hund_backend import pipeline
from hund_backend.__main__ import build_parser, main
from hund_backend.models import Models
from hund_backend.provenance import clip_hash
from hund_backend.weights_file import sha256_of

ROOT = Path(__file__).parents[3]
FAILED, BAD_INPUT = 1, 2


@pytest.fixture
def make_clip(tmp_path, monkeypatch):
    """Write clips by name; the pipeline is a fake that fails on clips called `trouble`."""

    def reconstruct(clip, options, models, report):
        if clip.stem == "trouble":
            raise ZeroDivisionError("unexpected")
        result = cli_fakes.build_reconstruction()
        result.provenance["truncated"] = None
        result.provenance["options"] = {"distortion": options.distortion}
        return result

    monkeypatch.setattr(pipeline, "reconstruct", reconstruct)
    monkeypatch.setattr(Models, "load", classmethod(lambda cls, device: object()))

    def clip(name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return cli_clips.write_video(path, num_frames=2)

    return clip


def run(capsys, *arguments):
    with contextlib.ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.getsignal(number))
        code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def test_an_unexpected_error_costs_one_clip(make_clip, tmp_path, capsys):
    clips = [make_clip("first.mp4"), make_clip("trouble.mp4"), make_clip("last.mp4")]
    code, _, errors = run(capsys, "reconstruct", *clips, "--output", tmp_path / "out")
    assert code == FAILED
    assert "unexpected error occurred (ZeroDivisionError" in errors
    assert "1 of 3 clips failed: trouble.mp4" in errors
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"first.npz", "last.npz"}


def test_two_clips_of_one_name_do_not_share_a_result(make_clip, tmp_path, capsys):
    first, second = make_clip("a/walk.mp4"), make_clip("b/walk.mp4")
    out = tmp_path / "out"
    for options in ([], ["--overwrite"]):
        code, _, errors = run(capsys, "reconstruct", first, second, "--output", out, *options)
        assert code == BAD_INPUT
        assert "rename one of them" in errors
    code, _, errors = run(
        capsys, "reconstruct", tmp_path / "none/walk.mp4", first, "--output", tmp_path / "new"
    )
    assert code == BAD_INPUT
    assert "rename" not in errors  # the first was not done: its name is free


def test_the_same_clip_twice_is_done_once(make_clip, tmp_path, capsys):
    clip = make_clip("walk.mp4")
    code, output, _ = run(
        capsys, "reconstruct", clip, clip, "--output", tmp_path / "out", "--json"
    )
    assert code == 0
    events = [json.loads(line) for line in output.splitlines()]
    assert [event["skipped"] for event in events if event["event"] == "done"] == [False, True]


def test_a_bad_clip_makes_no_folder(make_clip, tmp_path, capsys):
    code, *_ = run(capsys, "reconstruct", tmp_path / "none.mp4", "--output", tmp_path / "a/b")
    assert code == BAD_INPUT
    assert not (tmp_path / "a").exists()


def test_errors_are_events_in_json(make_clip, tmp_path, capsys):
    clip = tmp_path / "none.mp4"
    code, output, errors = run(capsys, "reconstruct", clip, "--output", tmp_path / "out", "--json")
    event = json.loads(output)
    assert (event["event"], event["exit_code"], code) == ("error", BAD_INPUT, BAD_INPUT)
    assert "does not exist" in event["message"]
    assert errors == ""


def test_numbers_may_be_negative_and_have_exponents(make_clip, tmp_path, capsys):
    clip, lens = make_clip("walk.mp4"), ["-1.5e-1", "2E-3", "-4e-05", "1e0"]
    out = tmp_path / "out"
    arguments = ["reconstruct", clip, "--distortion", *lens, "--output", out]
    assert run(capsys, *arguments)[0] == 0
    from hund_backend.reconstruction import Reconstruction

    found = Reconstruction.load(out / "walk.npz").provenance["options"]["distortion"]
    assert found == pytest.approx([-0.15, 0.002, -0.00004, 1.0])


@pytest.mark.parametrize("lens", [["nan", "0", "0", "0"], ["1", "2"], ["inf"] * 5])
def test_bad_distortion_is_refused(make_clip, tmp_path, capsys, lens):
    clip = make_clip("walk.mp4")
    code, _, errors = run(
        capsys, "reconstruct", clip, "--output", tmp_path / "out", "--distortion", *lens
    )
    assert code == BAD_INPUT
    assert "k1 k2 p1 p2" in errors


def test_help_and_wrong_arguments_need_no_heavy_package():
    script = (
        "import sys; from hund_backend.__main__ import build_parser\n"
        "build_parser().format_help()\n"
        "heavy = {'torch', 'cv2', 'scipy', 'numpy', 'onnxruntime', 'tqdm'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("arguments", [[], ["dance"], ["reconstruct"], ["reconstruct", "a.mp4"]])
def test_wrong_arguments_are_bad_input(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(arguments)
    assert caught.value.code == BAD_INPUT


def test_the_hash_of_a_sequence_changes_with_any_of_its_pictures(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(bytes([number]))
    before = clip_hash(tmp_path)
    assert clip_hash(tmp_path / "#.png") == before
    assert clip_hash(tmp_path / "1.png") == sha256_of(tmp_path / "1.png")
    (tmp_path / "1.png").write_bytes(b"other")
    assert clip_hash(tmp_path) != before
