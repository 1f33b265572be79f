"""Laws of windows of time and of the filter that reads them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import evidence_of, walk

from hund_backend.body.model import BodyModel
from hund_backend.descent.learned.evidence_filter import (
    EvidenceFilter,
    EvidenceFilterConfig,
)
from hund_backend.descent.learned.inputs import NetworkInputs
from hund_backend.descent.learned.windows import MIDDLE, OFFSETS, Windows
from hund_backend.descent.reduced_body import ReducedBody
from hund_backend.perception.crops import camera_from_crop
from hund_backend.prior.pose_flow import PoseFlow

BONES = 4.0  # metres: of a mean body; any number will do
FIELDS = ("keypoints", "landmarks", "confidence")


@pytest.fixture(scope="module")
def evidence():
    reduced_body = ReducedBody.from_body(BodyModel.load("keypoints"))
    return evidence_of(reduced_body, walk(reduced_body, PoseFlow.load(), 45))


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    network = EvidenceFilter(EvidenceFilterConfig(hidden=24, blocks=1))
    torch.nn.init.normal_(network.output.weight, std=0.1)
    return network.eval().requires_grad_(False)


def windows_of(evidence, fps=30.0):
    inputs = NetworkInputs.from_evidence(evidence, BONES, torch.float64)
    return inputs, Windows.of_track(evidence, inputs, fps)


def equal(first, second):
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in FIELDS)


def test_the_middle_of_a_window_is_the_frame_itself(evidence):
    inputs, windows = windows_of(evidence)
    for name in FIELDS:
        middle = getattr(windows, name)[:, MIDDLE]
        assert torch.allclose(middle, getattr(inputs, name), atol=1e-6)
    assert windows.known[:, MIDDLE].all()


def test_neighbors_are_seen_by_the_middle_frames_camera(evidence):
    """Three frames later, at 30 frames a second, is an offset of 0.1 s."""
    inputs, windows = windows_of(evidence)
    frame, later = 20, 23
    rotation = camera_from_crop(evidence.crops[frame : frame + 1], evidence.intrinsics[0])[0]
    pixels = np.concatenate((evidence.keypoints[later, :, :2], np.ones((33, 1))), axis=-1)
    rays = pixels @ np.linalg.inv(evidence.intrinsics[0] @ rotation).T
    expected = rays[:, :2] / rays[:, 2:] / float(inputs.crop_width[frame])
    found = windows.keypoints[frame, MIDDLE + 1].numpy()
    assert np.allclose(found, expected, atol=1e-6)
    in_camera = inputs.landmarks[later] @ inputs.camera_from_crop[later].mT
    landmarks = in_camera @ inputs.camera_from_crop[frame]
    assert torch.allclose(windows.landmarks[frame, MIDDLE + 1], landmarks, atol=1e-6)


def test_windows_are_alike_at_any_frame_rate(evidence):
    """Every second frame at half the rate, and motion between frames is interpolated."""
    _, windows = windows_of(evidence)
    sparse = replace(
        evidence,
        **{
            name: getattr(evidence, name)[::2]
            for name in (
                *("frames", "observed", "keypoints", "world_landmarks"),
                *("crops", "intrinsics", "masks"),
            )
        },
    )
    _, halved = windows_of(sparse, 15.0)
    assert torch.equal(halved.known[9:14], windows.known[18:28:2])
    assert halved.known[9:14].all()
    assert torch.allclose(halved.keypoints[9:14], windows.keypoints[18:28:2], atol=0.01)
    assert torch.allclose(halved.landmarks[9:14], windows.landmarks[18:28:2], atol=0.02)


def test_what_is_beyond_the_track_or_in_a_gap_is_unknown(evidence):
    observed = np.ones(45, bool)
    observed[22:30] = False
    _, windows = windows_of(replace(evidence, observed=observed))
    assert not windows.known[0, :MIDDLE].any()
    assert not windows.known[44, MIDDLE + 1 :].any()
    assert not windows.known[25].any()  # nothing is known about a frame without a detection
    place = 21 + 30 * np.array(OFFSETS)
    in_gap = (place > 21.5) & (place < 29.5)
    assert in_gap.any()
    assert not windows.known[21].numpy()[in_gap].any()
    unknown = ~windows.known
    for name in FIELDS:
        assert (getattr(windows, name)[unknown] == 0).all()


def test_too_few_frames_a_second_leave_single_pictures(evidence):
    _, windows = windows_of(evidence, fps=4.0)
    others = [number for number in range(len(OFFSETS)) if number != MIDDLE]
    seen = windows.known[:, others].any(0)
    offsets = np.array(OFFSETS)[others][seen.numpy()]
    assert np.allclose(np.abs(offsets), 0.5)  # two frames away, and none between them


def test_a_single_picture_is_left_as_it_is(evidence, untrained):
    single = replace(
        evidence,
        **{
            name: getattr(evidence, name)[:1]
            for name in (
                *("frames", "observed", "keypoints", "world_landmarks"),
                *("crops", "intrinsics", "masks"),
            )
        },
    )
    inputs, windows = windows_of(single)
    inputs = inputs.to(torch.float32)
    assert equal(untrained.apply_to_track(inputs, windows_to_float(windows)), inputs)


def windows_to_float(windows):
    return replace(windows, **{name: getattr(windows, name).float() for name in FIELDS})


def test_only_frames_with_neighbors_are_corrected(evidence, untrained):
    observed = np.ones(45, bool)
    observed[10:16] = False
    inputs, windows = windows_of(replace(evidence, observed=observed))
    inputs, windows = inputs.to(torch.float32), windows_to_float(windows)
    corrected = untrained.apply_to_track(inputs, windows)
    gone = torch.from_numpy(~observed).nonzero()[:, 0]
    kept = torch.from_numpy(observed).nonzero()[:, 0]
    assert equal(corrected.select(gone), inputs.select(gone))
    moved = (corrected.select(kept).keypoints - inputs.select(kept).keypoints).norm(dim=-1)
    assert (moved.amax(1) > 0).all()
    assert ((corrected.confidence >= 0) & (corrected.confidence <= 1)).all()


def test_a_frame_reads_its_own_window_only(evidence, untrained):
    inputs, windows = windows_of(evidence)
    inputs, windows = inputs.to(torch.float32), windows_to_float(windows)
    rows = torch.tensor([30, 7])
    alone = untrained(inputs.select(rows), windows.select(rows))
    together = untrained.apply_to_track(inputs, windows).select(rows)
    for name in FIELDS:
        assert torch.allclose(getattr(alone, name), getattr(together, name), atol=1e-5)


def test_before_training_nothing_is_changed(evidence):
    inputs, windows = windows_of(evidence)
    inputs, windows = inputs.to(torch.float32), windows_to_float(windows)
    network = EvidenceFilter(EvidenceFilterConfig(hidden=16, blocks=1))
    assert equal(network.apply_to_track(inputs, windows), inputs)
