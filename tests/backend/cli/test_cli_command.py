"""Command line: output, exit codes, and files on the disk."""

import contextlib
import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import cli_clips
import cv2
import numpy as np
import pytest
import torch
from builders import CAMERA, evidence_of, walk, with_parts

from hund_backend import estimation, pipeline
from hund_backend.__main__ import main
from hund_backend.body.model import BodyModel
from hund_backend.descent.learned.hund import Hund, HundConfig
from hund_backend.descent.reduced_body import ReducedBody
from hund_backend.errors import CancelledError
from hund_backend.models import Models
from hund_backend.motion.contact_network import ContactNetwork
from hund_backend.options import Options
from hund_backend.perception.linking import FoundPeople
from hund_backend.perception.run import Perception
from hund_backend.prior.gaussian import GaussianPrior
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.reconstruction import Reconstruction

ROOT = Path(__file__).parents[3]
PERCEPTION = ROOT / "hund_backend" / "weights" / "perception"
WALKER = ROOT / "tests" / "data" / "walker.mp4"
NETWORKS = (PERCEPTION / "blazepose_heavy.safetensors").exists()
needs_networks = pytest.mark.skipif(not NETWORKS, reason="run 'make setup' to fetch the networks")
BAD_INPUT, NOBODY, CANCELLED = 2, 3, 130


class FakePerception:
    """Perception that finds one walker in any clip, or nobody."""

    people = 1
    part_weights: ClassVar = {"part_head.safetensors": "1"}

    def __init__(self, reduced_body, prior):
        self._reduced_body, self._prior = reduced_body, prior

    def run(self, frames, intrinsics, *, fps, max_people, parts, hands, report, choose=None):
        count = 0
        for count, _ in enumerate(frames, start=1):
            report(count)
        variables = walk(self._reduced_body, self._prior, count)
        evidence = evidence_of(self._reduced_body, variables)
        if parts:
            evidence = with_parts(evidence, self._reduced_body, variables)
        return FoundPeople([evidence] * self.people)


@pytest.fixture
def fake_models(monkeypatch):
    body, prior = BodyModel.load("keypoints"), PoseFlow.load()
    perception = FakePerception(ReducedBody.from_body(body), GaussianPrior.load().double())
    torch.manual_seed(0)
    untrained = HundConfig(stages=2, hidden=32, context=16, memory=24, part_code=8)
    models = Models.__new__(Models)
    for name, value in {
        "device": torch.device("cpu"),
        "perception": perception,
        "contacts": ContactNetwork.load(),
        "body": body,
        "prior": prior,
        "weights": {"hund.safetensors": "0"},
        "hand_hund": None,
        "faces": None,
        "face_model": None,
        "face_hund": None,
        "face_weights": {},
        "hund": Hund(untrained, body, prior).eval().requires_grad_(False),
    }.items():
        object.__setattr__(models, name, value)
    monkeypatch.setattr(Models, "load", classmethod(lambda cls, device="auto": models))
    return models


@pytest.fixture
def video(tmp_path):
    return cli_clips.write_video(tmp_path / "clip.mp4", num_frames=8, size=(320, 240))


def run(capsys, *arguments):
    """Exit code, standard output and standard error of a command."""
    with contextlib.ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.getsignal(number))
        code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def assert_one_sentence(text):
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    assert lines[0].endswith(".")
    assert "Traceback" not in text


def nothing_left(folder):
    return not folder.exists() or not list(folder.iterdir())


def bad_clips(folder):
    """Name → a clip that cannot be reconstructed, and a word of the sentence."""
    (folder / "text.mp4").write_text("this is no video")
    (folder / "empty.mp4").write_bytes(b"")
    cli_clips.write_video(folder / "zero.mp4", num_frames=0)
    (folder / "pictures").mkdir()
    return {
        "missing": (folder / "missing.mp4", "does not exist"),
        "text": (folder / "text.mp4", "text.mp4"),
        "empty": (folder / "empty.mp4", "empty.mp4"),
        "no frames": (folder / "zero.mp4", "zero.mp4"),
        "no pictures": (folder / "pictures", "pictures"),
    }


@pytest.mark.parametrize("name", ["missing", "text", "empty", "no frames", "no pictures"])
def test_a_bad_clip_is_one_sentence_and_leaves_nothing(name, tmp_path, capsys):
    clip, words = bad_clips(tmp_path)[name]
    code, _, message = run(capsys, "reconstruct", clip, "--output", tmp_path / "out")
    assert code == BAD_INPUT
    assert_one_sentence(message)
    assert words in message
    assert nothing_left(tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--start", "100"], "ends with frame"),
        (["--start", "5", "--end", "2"], "before"),
        (["--start", "-1"], "negative"),
        (["--people", "0"], "one person"),
        (["--focal", "-5"], "focal"),
        (["--fov", "200"], "field of view"),
        (["--distortion", "1", "2"], "distortion"),
    ],
)
def test_a_bad_option_is_one_sentence(arguments, words, video, tmp_path, capsys, fake_models):
    code, _, message = run(capsys, "reconstruct", video, "--output", tmp_path / "out", *arguments)
    assert code == BAD_INPUT
    assert_one_sentence(message)
    assert words in message
    assert nothing_left(tmp_path / "out")


def test_an_unwritable_folder_is_one_sentence(video, tmp_path, capsys):
    (tmp_path / "out").write_text("a file stands where the folder should be")
    code, _, message = run(capsys, "reconstruct", video, "--output", tmp_path / "out")
    assert code == BAD_INPUT
    assert_one_sentence(message)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    video, tmp_path, capsys, fake_models, monkeypatch
):
    def full(*arguments, **arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hund_backend.reconstruction.np.savez_compressed", full)
    code, _, message = run(capsys, "reconstruct", video, "--output", tmp_path / "out")
    assert code == BAD_INPUT
    assert "No space left" in message
    assert_one_sentence(message)
    assert nothing_left(tmp_path / "out")


def test_nobody_in_view_is_one_sentence(video, tmp_path, capsys, fake_models):
    fake_models.perception.people = 0
    code, _, message = run(capsys, "reconstruct", video, "--output", tmp_path / "out")
    assert code == NOBODY
    assert_one_sentence(message)
    assert nothing_left(tmp_path / "out")


@pytest.mark.parametrize("method", ["hund", "fit"])
def test_a_clip_becomes_a_valid_file(method, video, tmp_path, capsys, fake_models):
    out = tmp_path / "out"
    how = ("--method", method, "--preview")
    code, output, _ = run(capsys, "reconstruct", video, "--output", out, *how)
    assert code == 0
    assert "1 person in 8 frames" in output
    result = Reconstruction.load(out / "clip.npz")
    assert result.present.all()
    assert result.provenance["source"]["name"] == "clip.mp4"
    assert len(result.provenance["terms"]) == result.stage_losses.shape[-1]
    assert result.provenance["method"] == method
    assert result.stage_rotations.shape[2] == result.stage_losses.shape[2]
    if method == "fit":  # the network is untrained
        totals = result.stage_losses.sum(-1)
        assert (totals[..., -1] <= totals[..., 0] + 1e-6).all()
    names = {path.name for path in out.iterdir()}
    assert names == {"clip.npz", "clip_overlay.mp4", "clip_sheet.png"}
    sheet = cv2.imread(str(out / "clip_sheet.png"))
    assert sheet.std() > 10


def test_a_batch_goes_on_past_a_bad_clip_and_skips_what_is_done(
    video, tmp_path, capsys, fake_models
):
    second = cli_clips.write_video(tmp_path / "second.mp4", num_frames=4, size=(320, 240))
    out = tmp_path / "out"
    clips = [video, tmp_path / "missing.mp4", second]
    code, output, complaint = run(capsys, "reconstruct", *clips, "--output", out)
    assert code == BAD_INPUT
    assert "1 of 3 clips failed: missing.mp4" in complaint
    assert {path.name for path in out.iterdir()} == {"clip.npz", "second.npz"}
    before = (out / "clip.npz").stat().st_mtime_ns
    code, output, _ = run(capsys, "reconstruct", video, "--output", out, "--json")
    assert code == 0
    assert json.loads(output)["skipped"] is True
    assert (out / "clip.npz").stat().st_mtime_ns == before


def test_json_lines_report_progress_and_the_end(video, tmp_path, capsys, fake_models):
    code, output, _ = run(capsys, "reconstruct", video, "--output", tmp_path / "out", "--json")
    assert code == 0
    events = [json.loads(line) for line in output.splitlines()]
    assert {"detect", "pose 1/1"} <= {event.get("stage") for event in events}
    assert events[-1]["event"] == "done"
    assert Path(events[-1]["output"]).exists()


def test_finished_clips_are_kept_when_cancelled(video, tmp_path, capsys, fake_models):
    second = cli_clips.write_video(tmp_path / "second.mp4", num_frames=4, size=(320, 240))
    perceive = fake_models.perception.run

    def cancelled_at_the_second(frames, intrinsics, **options):
        if (tmp_path / "out" / "clip.npz").exists():
            raise CancelledError("Cancelled: finished clips are kept.")
        return perceive(frames, intrinsics, **options)

    fake_models.perception.run = cancelled_at_the_second
    code, _, message = run(capsys, "reconstruct", video, second, "--output", tmp_path / "out")
    assert code == CANCELLED
    assert_one_sentence(message)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"clip.npz"}


def test_stopping_early_keeps_the_frames_processed_so_far(video, fake_models):
    answers = iter([False, False, False, True])
    result = pipeline.reconstruct(video, Options(), fake_models, stop_early=lambda: next(answers))
    assert list(result.frame_numbers) == [0, 1, 2]
    assert "frame 2" in result.provenance["truncated"]


def test_a_draft_processes_every_second_frame(video, tmp_path, capsys, fake_models):
    code, *_ = run(
        capsys, "reconstruct", video, "--output", tmp_path, "--start", 1, "--quality", "draft"
    )
    assert code == 0
    result = Reconstruction.load(tmp_path / "clip.npz")
    assert list(result.frame_numbers) == [1, 3, 5, 7]
    assert (np.abs(result.times * result.fps - result.frame_numbers) < 0.1).all()


def test_high_quality_fits_the_body_shape_to_the_silhouette(video, fake_models):
    lens = tuple(map(tuple, CAMERA.tolist()))
    plain, high = (
        pipeline.reconstruct(
            video, Options(method="fit", parts=parts, intrinsics=lens), fake_models
        )
        for parts in (False, True)
    )
    silhouette = plain.provenance["terms"].index("silhouette")
    assert (plain.stage_losses[..., silhouette] == 0).all()
    assert (high.stage_losses[..., silhouette] > 0).all()
    assert np.abs(high.betas - plain.betas).max() > 1e-3


def test_polish_reduces_keypoint_errors(video, fake_models):
    """The network is untrained: only gradients bring the body to the keypoints."""
    doubts = []
    for polish in (False, True):
        found = pipeline.reconstruct(video, Options(polish=polish), fake_models)
        doubts.append(1 - found.joint_confidence.mean())
    assert doubts[1] < 0.7 * doubts[0]


def test_a_file_keeps_the_stages_that_the_polish_began_with(video, fake_models):
    found = pipeline.reconstruct(video, Options(polish=True), fake_models)
    alone = pipeline.reconstruct(video, Options(polish=False), fake_models)
    assert found.provenance["terms"] == alone.provenance["terms"]
    assert found.stage_losses.shape[2] == fake_models.hund.config.stages + 1
    np.testing.assert_array_equal(found.stage_losses, alone.stage_losses)
    np.testing.assert_array_equal(found.stage_rotations, alone.stage_rotations)


def test_adaptation_is_limited_and_reported(video, tmp_path, capsys, fake_models, monkeypatch):
    calls = []
    real = estimation.adapt

    def adapt(hund, prior, inputs, config, report):
        calls.append((len(inputs), config.seconds))
        return real(
            hund,
            prior,
            inputs,
            dataclasses.replace(config, min_frames=4, block=1, max_steps=2),
            report,
        )

    monkeypatch.setattr(estimation, "adapt", adapt)
    monkeypatch.setattr(estimation.AdaptConfig, "min_frames", 4)
    code, *_ = run(capsys, "reconstruct", video, "--output", tmp_path, "--adapt", "7")
    assert code == 0
    assert calls == [(8, 7.0)]
    report = Reconstruction.load(tmp_path / "clip.npz").provenance["adapted"][0]
    assert set(report) == {"kept", "steps", "before", "after"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--adapt", "-3"), "seconds"),
        (("--adapt", "nan"), "seconds"),
        (("--adapt", "--method", "fit"), "leave one of them out"),
    ],
)
def test_bad_adaptation_options_are_refused(arguments, reason, video, tmp_path, capsys):
    code, _, message = run(capsys, "reconstruct", video, "--output", tmp_path / "out", *arguments)
    assert code == BAD_INPUT
    assert reason in message
    assert_one_sentence(message)


def test_distortion_is_removed_before_the_fit(video, tmp_path, capsys, fake_models):
    plain, distorted = tmp_path / "plain", tmp_path / "distorted"
    run(capsys, "reconstruct", video, "--output", plain)
    lens = ["--distortion", "-0.2", "0.05", "0", "0"]
    assert run(capsys, "reconstruct", video, "--output", distorted, *lens)[0] == 0
    first, second = (Reconstruction.load(folder / "clip.npz") for folder in (plain, distorted))
    assert np.abs(first.joints - second.joints).max() > 1e-3
    np.testing.assert_allclose(first.keypoints, second.keypoints)


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_bad_networks_are_one_sentence(damage, tmp_path):
    from hund_backend.errors import BadInputError

    (tmp_path / "manifest.json").write_bytes((PERCEPTION / "manifest.json").read_bytes())
    if damage == "damaged":
        for entry in json.loads((tmp_path / "manifest.json").read_text())["files"]:
            (tmp_path / entry["file"]).write_bytes(b"not a network")
    with pytest.raises(BadInputError) as caught:
        Perception.open("cpu", tmp_path)
    assert_one_sentence(str(caught.value))


def serve(*requests):
    """Answers of the server to some requests, by event."""
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    answer = subprocess.run(
        [sys.executable, "-m", "hund_backend", "serve"],
        cwd=ROOT,
        input=lines,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert answer.returncode == 0, answer.stderr
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_the_server_survives_bad_requests(tmp_path):
    answers = serve(
        [],
        {"command": "dance", "id": 1},
        {"command": "reconstruct", "id": 2},
        {"command": "reconstruct", "id": 3, "clip": "none.mp4", "output": str(tmp_path / "o")},
    )
    assert answers[0]["event"] == "ready"
    errors = {answer["id"]: answer for answer in answers if answer["event"] == "error"}
    assert {None, 1, 2} <= set(errors)
    assert errors[1]["exit_code"] == BAD_INPUT


@pytest.mark.weights
@needs_networks
def test_nobody_is_found_in_an_empty_picture(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((120, 160), 128, np.uint8))
    code, _, message = run(
        capsys, "reconstruct", tmp_path / "grey.png", "--output", tmp_path / "out"
    )
    assert code == NOBODY
    assert_one_sentence(message)
    assert nothing_left(tmp_path / "out")


@pytest.mark.weights
@needs_networks
def test_nobody_is_found_in_one_pixel(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "pixel.png"), np.zeros((1, 1, 3), np.uint8))
    code = run(capsys, "reconstruct", tmp_path / "pixel.png", "--output", tmp_path / "out")[0]
    assert code == NOBODY


@pytest.mark.weights
@needs_networks
def test_two_people_are_found_and_reproject_onto_their_keypoints(tmp_path, capsys):
    out = tmp_path / "out"
    code = run(capsys, "reconstruct", WALKER, "--output", out, "--start", 4, "--end", 9)[0]
    assert code == 0
    result = Reconstruction.load(out / "walker.npz")
    assert len(result.track_ids) == 2
    camera = result.intrinsics[0]
    for person in range(2):
        joints = result.joints[person][result.present[person]]
        pixels = (joints[..., :2] / joints[..., 2:]) @ camera[:2, :2].T + camera[:2, 2]
        keypoints = result.keypoints[person][result.present[person]]
        for name, keypoint in (("CalfL", 25), ("CalfR", 26), ("UpperarmL", 11), ("AnkleR", 28)):
            gaps = pixels[:, result.joint_names.index(name)] - keypoints[:, keypoint, :2]
            assert np.median(np.linalg.norm(gaps, axis=-1)) < 8  # of some 150 px height


@pytest.mark.weights
@needs_networks
def test_an_interrupt_ends_the_work_and_leaves_nothing(tmp_path):
    command = [sys.executable, "-m", "hund_backend", "reconstruct", str(WALKER)]
    with subprocess.Popen(
        [*command, "--output", str(tmp_path / "out"), "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        child.stdout.readline()  # the work has begun
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        _, message = child.communicate(timeout=600)
    assert child.returncode == CANCELLED
    assert_one_sentence(message)
    assert nothing_left(tmp_path / "out")
