"""Laws of learning a performer: what the copy learns from, what is held out, and when it is kept."""

import dataclasses

import pytest
import torch
from builders import CAMERA, evidence_of, walk

from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import BLAZEPOSE_NAMES
from hund_backend.descent.learned import adaptation
from hund_backend.descent.learned.adaptation import AdaptConfig, Look, adapted, held_out, looked
from hund_backend.descent.learned.hund import Hund, HundConfig
from hund_backend.descent.learned.inputs import NetworkInputs
from hund_backend.descent.reduced_body import REDUCED_JOINTS, ReducedBody
from hund_backend.prior.pose_flow import PoseFlow

SMALL = HundConfig(stages=2, hidden=32, context=16, memory=24, glance=8)
QUICK = AdaptConfig(steps=24, batch=16, rate=3e-3, every=6, likely=-1e9)
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
def seen(hund, prior):
    reduced_body = ReducedBody.from_body(BodyModel.load("keypoints"))
    variables = walk(reduced_body, prior, FRAMES)
    intrinsics = CAMERA[None].repeat(FRAMES, axis=0)
    return NetworkInputs.of(evidence_of(reduced_body, variables), intrinsics, hund.decoder.bones)


def weights_of(hund):
    return {name: values.clone() for name, values in hund.state_dict().items()}


def same(first, second):
    return all(torch.equal(values, second[name]) for name, values in first.items())


def test_a_copy_learns_and_the_network_does_not_change(hund, prior, seen):
    before = weights_of(hund)
    pupil, lesson = adapted(hund, prior, seen, QUICK)
    assert same(before, weights_of(hund))
    assert lesson.kept
    assert lesson.after.loss < lesson.before.loss
    assert not same(before, weights_of(pupil))
    exam = seen.at(held_out(FRAMES, QUICK).nonzero()[:, 0])
    assert looked(pupil, prior, exam).loss == pytest.approx(lesson.after.loss, rel=1e-4)
    assert not any(values.requires_grad for values in pupil.parameters())


def test_learning_is_the_same_every_time(hund, prior, seen):
    first, second = (adapted(hund, prior, seen, QUICK) for _ in range(2))
    assert same(weights_of(first[0]), weights_of(second[0]))
    assert first[1] == second[1]


def test_what_makes_poses_unlikely_is_not_kept(hund, prior, seen, monkeypatch):
    looks = iter([Look(2.0, 60.0)] + [Look(1.0 - i / 100, 40.0) for i in range(9)])
    monkeypatch.setattr(adaptation, "looked", lambda *_: next(looks))
    config = dataclasses.replace(QUICK, likely=AdaptConfig.likely)
    pupil, lesson = adapted(hund, prior, seen, config)
    assert pupil is hund
    assert not lesson.kept


def test_what_does_not_help_is_not_kept(hund, prior, seen, monkeypatch):
    looks = iter([Look(2.0, 60.0)] + [Look(2.1 + i, 70.0) for i in range(9)])
    monkeypatch.setattr(adaptation, "looked", lambda *_: next(looks))
    pupil, lesson = adapted(hund, prior, seen, QUICK)
    assert pupil is hund
    assert lesson.steps == QUICK.steps


@pytest.mark.parametrize(
    ("before", "after", "better"),
    [
        ((2.0, 70.0), (1.5, 71.0), True),
        ((2.0, 70.0), (1.5, 55.0), True),  # likely enough
        ((2.0, 70.0), (1.5, 45.0), False),
        ((2.0, 40.0), (1.5, 41.0), True),  # an unusual performer
        ((2.0, 40.0), (1.5, 39.0), False),
        ((2.0, 70.0), (2.0, 80.0), False),
    ],
)
def test_better_is_a_lower_loss_of_likely_poses(before, after, better):
    assert Look(*after).betters(Look(*before), AdaptConfig.likely) == better


def test_few_frames_teach_nothing(hund, prior, seen):
    few = seen.at(slice(0, AdaptConfig.fewest - 1))
    pupil, lesson = adapted(hund, prior, few, QUICK)
    assert pupil is hund
    assert lesson.told() == {"kept": False, "steps": 0, "before": None, "after": None}


def test_no_time_is_no_lesson(hund, prior, seen):
    pupil, lesson = adapted(hund, prior, seen, dataclasses.replace(QUICK, seconds=0.0))
    assert pupil is hund
    assert lesson.steps == 0


def test_blocks_are_held_out_whole():
    config = AdaptConfig()
    out = held_out(10 * config.block, config).unflatten(0, (10, config.block))
    assert (out.all(1) | ~out.any(1)).all()
    assert out.any(1).sum() == 10 // config.held_out


def test_what_nobody_sees_stays_as_it_was(hund, prior, seen):
    """Legs that are never seen are moved less by a copy that is bound to what was believed."""
    legs = [i for i, name in enumerate(BLAZEPOSE_NAMES) if "knee" in name or i > 26]
    confidence = seen.confidence.clone()
    confidence[:, legs] = 0
    half = dataclasses.replace(seen, confidence=confidence)
    shins = [REDUCED_JOINTS.index(f"Calf{side}") - 1 for side in "LR"]
    believed = adaptation.believed(hund, half)[:, shins]
    moved = []
    for anchor in (0.0, 1000.0):
        config = dataclasses.replace(QUICK, anchor=anchor)
        pupil, _ = adapted(hund, prior, half, config)
        now = adaptation.believed(pupil, half)[:, shins]
        moved.append(float((now - believed).square().mean()))
    assert moved[1] < 0.5 * moved[0]
