"""Laws of the adaptation: held-out frames, acceptance, and determinism."""

import dataclasses

import pytest
import torch
from builders import evidence_of, walk

from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import BLAZEPOSE_NAMES
from hund_backend.descent.learned import adaptation
from hund_backend.descent.learned.adaptation import (
    AdaptConfig,
    Validation,
    adapt,
    held_out_frames,
    validate,
)
from hund_backend.descent.learned.hund import Hund, HundConfig
from hund_backend.descent.learned.inputs import NetworkInputs, concatenate
from hund_backend.descent.reduced_body import REDUCED_JOINTS, ReducedBody
from hund_backend.prior.pose_flow import PoseFlow

SMALL = HundConfig(stages=2, hidden=32, context=16, memory=24, part_code=8)
QUICK = AdaptConfig(
    max_steps=24,
    batch=16,
    learning_rate=3e-3,
    validate_every=6,
    seconds=float("inf"),
    steadier=-1e9,
    less_likely=1e9,
)
FRAMES = 64


@pytest.fixture(scope="module")
def prior():
    return PoseFlow.load()


@pytest.fixture(scope="module")
def hund(prior):
    torch.manual_seed(0)
    network = Hund(SMALL, BodyModel.load("keypoints"), prior)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def inputs(hund, prior):
    reduced_body = ReducedBody.from_body(BodyModel.load("keypoints"))
    variables = walk(reduced_body, prior, FRAMES)
    return NetworkInputs.from_evidence(evidence_of(reduced_body, variables), hund.decoder.bones)


def weights_of(hund):
    return {name: values.clone() for name, values in hund.state_dict().items()}


def same(first, second):
    return all(torch.equal(values, second[name]) for name, values in first.items())


def test_copy_improves_and_the_network_is_unchanged(hund, prior, inputs):
    before = weights_of(hund)
    adapted, report = adapt(hund, prior, inputs, QUICK)
    assert same(before, weights_of(hund))
    assert report.kept
    assert report.after.loss < report.before.loss
    assert not same(before, weights_of(adapted))
    held_out = inputs.select(held_out_frames(FRAMES, QUICK).nonzero()[:, 0])
    assert validate(adapted, prior, held_out, QUICK.block).loss == pytest.approx(
        report.after.loss, rel=1e-4
    )
    assert not any(values.requires_grad for values in adapted.parameters())


def test_adaptation_is_deterministic(hund, prior, inputs):
    first, second = (adapt(hund, prior, inputs, QUICK) for _ in range(2))
    assert same(weights_of(first[0]), weights_of(second[0]))
    assert first[1] == second[1]


def test_unlikely_poses_are_rejected(hund, prior, inputs, monkeypatch):
    validations = iter(
        [Validation(2.0, 60.0, 1.0)] + [Validation(1.0 - i / 100, 59.0, 0.5) for i in range(9)]
    )
    monkeypatch.setattr(adaptation, "validate", lambda *_: next(validations))
    config = dataclasses.replace(QUICK, less_likely=AdaptConfig.less_likely)
    adapted, report = adapt(hund, prior, inputs, config)
    assert adapted is hund
    assert not report.kept


def test_no_improvement_is_rejected(hund, prior, inputs, monkeypatch):
    validations = iter(
        [Validation(2.0, 60.0, 1.0)] + [Validation(2.1 + i, 70.0, 0.5) for i in range(9)]
    )
    monkeypatch.setattr(adaptation, "validate", lambda *_: next(validations))
    adapted, report = adapt(hund, prior, inputs, QUICK)
    assert adapted is hund
    assert report.steps == QUICK.max_steps


@pytest.mark.parametrize(
    ("before", "after", "better"),
    [
        ((2.0, 70.0, 1.0), (1.5, 71.0, 0.8), True),
        ((2.0, 70.0, 1.0), (1.5, 69.0, 0.8), False),  # less likely
        ((2.0, 70.0, 1.0), (1.5, 71.0, 0.9), False),  # hardly steadier
        ((2.0, 70.0, 1.0), (2.0, 80.0, 0.5), False),  # no lower loss
    ],
)
def test_improvement_is_a_lower_loss_of_likely_and_steadier_poses(before, after, better):
    assert Validation(*after).improves_on(Validation(*before), AdaptConfig()) == better


def test_accelerations_are_those_inside_of_blocks(hund, prior, inputs):
    """Whatever the order of the blocks, which are far from one another in time."""
    first, second = (inputs.select(slice(start, start + 15)) for start in (0, 30))
    figures = [
        validate(hund, prior, concatenate(list(blocks)), 15).acceleration
        for blocks in ((first, second), (second, first))
    ]
    assert figures[0] == pytest.approx(figures[1], rel=1e-4)
    alone = [validate(hund, prior, each, 15).acceleration for each in (first, second)]
    assert figures[0] == pytest.approx(sum(alone) / 2, rel=1e-4)


def test_short_tracks_are_not_adapted(hund, prior, inputs):
    few = inputs.select(slice(0, AdaptConfig.min_frames - 1))
    adapted, report = adapt(hund, prior, few, QUICK)
    assert adapted is hund
    assert report.as_json() == {"kept": False, "steps": 0, "before": None, "after": None}


def test_no_time_means_no_steps(hund, prior, inputs):
    adapted, report = adapt(hund, prior, inputs, dataclasses.replace(QUICK, seconds=0.0))
    assert adapted is hund
    assert report.steps == 0


def test_whole_blocks_are_held_out():
    config = AdaptConfig()
    out = held_out_frames(10 * config.block, config).unflatten(0, (10, config.block))
    assert (out.all(1) | ~out.any(1)).all()
    assert out.any(1).sum() == 10 // config.held_out_every


def test_anchor_keeps_unobserved_rotations(hund, prior, inputs):
    """Legs that are never observed change less in a copy with the anchor."""
    legs = [i for i, name in enumerate(BLAZEPOSE_NAMES) if "knee" in name or i > 26]
    confidence = inputs.confidence.clone()
    confidence[:, legs] = 0
    half = dataclasses.replace(inputs, confidence=confidence)
    shins = [REDUCED_JOINTS.index(f"Calf{side}") - 1 for side in "LR"]
    before = adaptation.unadapted_rotations(hund, half)[:, shins]
    moved = []
    for anchor in (0.0, 1000.0):
        config = dataclasses.replace(QUICK, anchor=anchor)
        adapted, _ = adapt(hund, prior, half, config)
        after = adaptation.unadapted_rotations(adapted, half)[:, shins]
        moved.append(float((after - before).square().mean()))
    assert moved[1] < 0.5 * moved[0]
