"""Training windows: exact without errors, errors that last, and what the filter's training gains."""

from dataclasses import replace

import pytest
import torch
from test_training_hund import detections, network, poses

from hund_backend.body.model import BodyModel
from hund_backend.descent.learned.evidence_filter import EvidenceFilter, EvidenceFilterConfig
from hund_backend.descent.learned.windows import MIDDLE, OFFSETS
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.training.hund.samples import PictureDataset
from hund_backend.training.hund.train_evidence_filter import FilterRecipe, evidence_error, train
from hund_backend.training.hund.window_samples import WindowConfig, WindowDataset

EXACT = WindowConfig(
    max_transfer=0.0, scale=(0.0, 0.0), displaced=0.0, doubted=0.0, swapped=0.0, sparse=0.0
)


@pytest.fixture(scope="module")
def hund():
    return network(BodyModel.load("keypoints"), PoseFlow.load()).eval().requires_grad_(False)


def dataset_of(hund, config=None):
    errors = PictureDataset(detections(hund.decoder), hund.decoder).errors()
    return WindowDataset(poses(), "train", hund.decoder, errors, config)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_without_errors_the_middle_of_a_window_is_the_truth(hund, generator):
    dataset = dataset_of(hund, EXACT)
    true = dataset.true_windows(24, generator)
    drawn = dataset.detected(true, generator)
    points = drawn.sample.truth.posed.points
    rays = points[..., :2] / points[..., 2:]
    projected = rays / drawn.sample.inputs.crop_width[:, None, None]
    assert torch.allclose(drawn.windows.keypoints[:, MIDDLE], projected, atol=1e-4)
    assert torch.allclose(drawn.sample.inputs.keypoints, drawn.exact.keypoints, atol=1e-5)
    assert drawn.windows.known[:, MIDDLE].all()
    assert drawn.windows.known[:, :MIDDLE].any()


def test_a_person_who_stands_still_looks_the_same_at_all_offsets(hund, generator):
    config = replace(EXACT, panned_share=0.0)
    still = replace(poses(), rotations=poses().rotations[:1].repeat(60, 1, 1, 1))
    errors = PictureDataset(detections(hund.decoder), hund.decoder).errors()
    dataset = WindowDataset(still, "train", hund.decoder, errors, config)
    windows = dataset.true_windows(16, generator).windows
    middle = windows.keypoints[:, MIDDLE : MIDDLE + 1]
    assert torch.allclose(windows.keypoints, middle.expand_as(windows.keypoints), atol=1e-4)


def test_errors_last_for_tenths_of_a_second(hund, generator):
    dataset = dataset_of(hund, replace(EXACT, scale=(1.0, 1.0), bias=0.0, white=0.0))
    true = dataset.true_windows(200, generator)
    drawn = dataset.detected(true, generator)
    known = drawn.windows.known.all(1)
    errors = (drawn.windows.keypoints - true.windows.keypoints)[known]

    def correlation(steps):
        first, second = errors[:, MIDDLE], errors[:, MIDDLE + steps]
        return float((first * second).mean() / first.square().mean())

    assert 0.3 < correlation(1) < 0.9
    assert correlation(1) - correlation(4) > 0.15


def test_offsets_beyond_a_clip_are_unknown(hund, generator):
    windows = dataset_of(hund, EXACT).true_windows(200, generator).windows
    share = windows.known.float().mean(0)
    assert share[MIDDLE] == 1
    assert share[0] < share[MIDDLE - 1]  # of clips of a second, half are near an end
    assert windows.known.shape == (200, len(OFFSETS))


def trained(hund, dataset, drawn, **changes):
    recipe = FilterRecipe(batch=32, windows=128, stages=(1, 1), rate=3e-3, **changes)
    torch.manual_seed(0)
    network = EvidenceFilter(EvidenceFilterConfig(hidden=48, blocks=1))
    train(network, hund, PoseFlow.load(), dataset, drawn, recipe)
    return network, recipe


@pytest.fixture(scope="module")
def seen(hund):
    dataset = dataset_of(hund)
    true = dataset.true_windows(64, torch.Generator().manual_seed(3))
    return dataset, dataset.detected(true, torch.Generator().manual_seed(4))


def test_training_lowers_the_evidences_error(hund, seen):
    dataset, drawn = seen
    network, recipe = trained(hund, dataset, drawn, steps=30, every=30)
    before = evidence_error(drawn.sample.inputs, drawn.exact, recipe)
    corrected = network(drawn.sample.inputs, drawn.windows)
    assert evidence_error(corrected, drawn.exact, recipe) < 0.97 * before


def test_training_with_hund_behind_the_filter_changes_the_filter_alone(hund, seen):
    before = {name: values.clone() for name, values in hund.state_dict().items()}
    network, _ = trained(
        hund, *seen, steps=2, every=2, descends=True, keypoints=0.0, landmarks=0.0
    )
    assert network.output.weight.abs().sum() > 0
    assert all(torch.equal(values, before[name]) for name, values in hund.state_dict().items())
