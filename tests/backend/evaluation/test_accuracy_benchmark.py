"""The benchmark of accuracy: what its table says, and perception that runs once."""

import argparse
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import accuracy, worst_pictures
from benchmarks.accuracy import Row
from benchmarks.perception_cache import PerceptionCache
from hund_backend import pipeline
from hund_backend.body.model import BodyModel
from hund_backend.errors import NobodyFoundError
from hund_backend.evaluation.estimates import Request
from hund_backend.options import Options
from hund_backend.perception.evidence import Evidence
from hund_backend.rendering.mesh_overlay import Mesh
from hund_backend.tracked_clip import TrackedClip
from hund_backend.video import ClipInfo


def row(method, loss, milliseconds, weights="a", data="pictures"):
    figures = {"loss": (loss, None, None), "ms": (milliseconds, None, None)}
    return Row(data=data, method=method, weights=weights, figures=figures)


@pytest.mark.parametrize(
    ("loss", "milliseconds", "expected"),
    [(1.0, 0.9, "met"), (1.3, 0.9, "missed"), (1.0, 1.1, "missed")],
)
def test_the_condition_needs_the_loss_and_the_time(loss, milliseconds, expected):
    rows = [row("s_4", loss, milliseconds), row("Adam, 100", 1.2, 20.0)]
    (line,) = accuracy.conditions(rows)
    assert line.strip().endswith(f": {expected}")


def test_weights_and_data_are_compared_with_their_own_adam():
    rows = [
        row(method, loss, milliseconds, weights, data)
        for data in ("motion", "pictures")
        for weights in "ab"
        for method, loss, milliseconds in (("s_4", 1.0, 0.5), ("Adam, 100", 1.2, 20.0))
    ]
    assert len(list(accuracy.conditions(rows))) == 4


def test_the_table_has_the_columns_that_are_measured():
    mean_alone = Row(data="clips", method="truth", weights="", figures={"jerk": (7.0, None, None)})
    interval = Row(
        data="clips", method="s", weights="a", figures={"pa_mpjpe_mm": (50.0, 40.0, 61.25)}
    )
    lines = accuracy.as_markdown([mean_alone, interval]).strip().splitlines()
    assert lines[0] == "| data | method | weights | PA-MPJPE mm | jerk m/s³ |"
    assert lines[2:] == [
        "| clips | truth |  |  | 7.0 |",
        "| clips | s | a | 50.0 (40.0 … 61.2) |  |",
    ]


def test_rows_of_other_weights_stand_beside_those_of_the_first(monkeypatch):
    def rows_of(bench, part, path):
        detector = Row(data=part, method="detector", weights="", figures={})
        stages = Row(data=part, method="stages", weights=path.stem, figures={})
        return [detector, stages]

    monkeypatch.setattr(accuracy, "kept_rows", rows_of)
    bench = SimpleNamespace(args=argparse.Namespace(hund=[Path("a"), Path("b")]))
    found = [(each.method, each.weights) for each in accuracy.part_rows(bench, "lspet")]
    assert found == [("detector", ""), ("stages", "a"), ("stages", "b")]


def tracked_clip(path):
    evidence = Evidence(
        track_id=0,
        frames=np.arange(1),
        observed=np.ones(1, dtype=bool),
        keypoints=np.random.default_rng(0).uniform(size=(1, 33, 3)),
        world_landmarks=np.zeros((1, 33, 3)),
        crops=np.ones((1, 4)),
        intrinsics=np.eye(3)[None],
        masks=np.zeros((1, 64, 64), np.uint8),
    )
    return TrackedClip(
        path=path,
        info=ClipInfo(path=path, width=64, height=48, fps=30.0, num_frames=1),
        truncated=None,
        frame_numbers=(0,),
        times=(0.0,),
        intrinsics=np.eye(3),
        people=(evidence,),
    )


def test_perception_runs_once_for_each_picture_and_camera(tmp_path, monkeypatch):
    calls = []

    def perceive(path, options, *_):
        calls.append((path.name, options.intrinsics))
        if path.name == "empty.png":
            raise NobodyFoundError("nobody")
        return tracked_clip(path)

    monkeypatch.setattr(pipeline, "perceive", perceive)
    requests = [
        Request(path=tmp_path / "one.png"),
        Request(path=tmp_path / "one.png", intrinsics=2 * np.eye(3)),
        Request(path=tmp_path / "empty.png"),
    ]
    for _ in range(2):  # the second time from the disk
        cache = PerceptionCache(SimpleNamespace(weights={}), tmp_path / "kept")
        found = [cache.perceive(request, Options()) for request in requests]
        assert found[2] is None
        np.testing.assert_array_equal(
            found[0].people[0].keypoints, tracked_clip(tmp_path).people[0].keypoints
        )
    assert len(calls) == len(set(calls)) == 3


def test_far_limbs_lie_on_the_right_of_the_side_view():
    body = BodyModel.load("low")
    vertices = body.template.numpy().astype(np.float64)
    for sign in (1.0, -1.0):
        # A body that lies along the line of sight, its head at the far end or at the near one.
        lying = vertices[:, [0, 2, 1]] * np.array([1.0, -sign, sign])
        is_far = lying[:, 2] > np.median(lying[:, 2])
        colors = np.where(is_far[body.faces.numpy()].all(1)[:, None], [1.0, 0, 0], [0, 0, 1.0])
        mesh = Mesh(
            vertices=lying + np.array([0.0, 0.0, 5.0]),
            pixels=lying[:, :2],
            faces=body.faces.numpy(),
            colors=colors,
        )
        view = worst_pictures.side_view(mesh).astype(int)
        red = np.nonzero(view[..., 0] > view[..., 2] + 20)[1].mean()
        blue = np.nonzero(view[..., 2] > view[..., 0] + 20)[1].mean()
        assert red > blue + 20


def test_swapped_limbs_are_those_that_fit_the_other_side():
    names = tuple(
        f"{side}_{joint}"
        for side in ("left", "right")
        for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    )
    truth = np.random.default_rng(0).uniform(0, 100, (12, 2))
    truth[2] = np.nan  # a wrist that is not labeled
    is_arm = np.array([n.split("_")[1] in ("shoulder", "elbow", "wrist") for n in names])
    other = np.roll(truth, 6, axis=0)

    def swapped(pixels):
        estimate = worst_pictures.Estimate(result=None, person=0, pixels=pixels + 1.0)
        case = worst_pictures.Case(
            label="", path=Path(), names=names, truth=truth, torso=50.0, estimates=(estimate,)
        )
        return worst_pictures.swapped_limbs(case, 0)

    filled = np.nan_to_num(truth, nan=40.0), np.nan_to_num(other, nan=40.0)
    assert swapped(filled[0]) == []
    assert swapped(np.where(is_arm[:, None], filled[1], filled[0])) == ["arms"]
    assert swapped(filled[1]) == ["arms", "legs"]
