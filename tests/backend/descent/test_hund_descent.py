"""Laws of the learned descent: cameras, feedback, stages, and what comes of a clip."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from builders import CAMERA, evidence_of, walk

from hund_backend.body.camera import project
from hund_backend.body.model import BodyModel
from hund_backend.descent.learned.evidence_loss import TERMS, EvidenceLoss, LossConfig
from hund_backend.descent.learned.hund import Hund, HundConfig
from hund_backend.descent.learned.inputs import NetworkInputs, centred
from hund_backend.descent.learned.smoothing import steadied
from hund_backend.descent.learned.state_decoder import StateDecoder, StateVector
from hund_backend.descent.learned.track import descend
from hund_backend.descent.reduced_body import FitVariables, ReducedBody
from hund_backend.errors import BadInputError
from hund_backend.perception.blazepose import NUM_FEATURES
from hund_backend.perception.packed_part_maps import packed
from hund_backend.prior.dynamics import Dynamics
from hund_backend.prior.pose_flow import WEIGHTS_FILE, PoseFlow
from hund_backend.rendering.part_renderer import render_parts
from hund_backend.training.weights import write_weights

SMALL = HundConfig(stages=3, hidden=32, context=16, memory=24, glance=8)
FPS = 30.0


@pytest.fixture(scope="module")
def body():
    return BodyModel.load("keypoints")


@pytest.fixture(scope="module")
def prior():
    return PoseFlow.load()


@pytest.fixture(scope="module")
def decoder(body, prior):
    return StateDecoder(body, prior)


@pytest.fixture(scope="module")
def reduced_body(body):
    return ReducedBody.from_body(body)


@pytest.fixture(scope="module")
def hund(body, prior):
    """An untrained network whose stages take steps."""
    torch.manual_seed(0)
    hund = Hund(SMALL, body, prior)
    torch.nn.init.normal_(hund.stage.leave[-1].weight, std=0.2)
    return hund.eval()


@pytest.fixture
def evidence(reduced_body, prior):
    return evidence_of(reduced_body, walk(reduced_body, copy.deepcopy(prior).double(), 8), noise=0.003)


def cameras(count, camera=CAMERA):
    return np.repeat(np.asarray(camera)[None], count, axis=0)


def seen_in(evidence, bones=5.0, camera=CAMERA):
    return NetworkInputs.of(evidence, cameras(len(evidence.frames), camera), bones)


def random_numbers(decoder, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    flat = 0.4 * torch.randn(count, decoder.numbers, generator=generator)
    return decoder.split(flat + decoder.start())


def test_the_marionette_is_the_body(decoder, body, prior):
    numbers, span = random_numbers(decoder, 5), torch.linspace(0.3, 1, 5)
    posed = decoder(numbers, span)
    state = decoder.state(posed, numbers.betas, torch.eye(3).repeat(5, 1, 1))
    whole = state.posed(body)
    torch.testing.assert_close(posed.joints, whole.joints[:, decoder.moved], atol=1e-5, rtol=0)
    points = body.keypoints(whole, "blazepose")
    torch.testing.assert_close(posed.points, points, atol=1e-4, rtol=0)
    torch.testing.assert_close(prior.pose(numbers.latent), state.pose, atol=1e-4, rtol=0)


@pytest.mark.parametrize("through_flow", [True, False])
def test_a_posed_body_has_the_numbers_that_posed_it(body, prior, through_flow):
    decoder = StateDecoder(body, prior, through_flow=through_flow)
    posed = decoder(random_numbers(decoder, 4), torch.full((4,), 0.5))
    numbers = decoder.numbers_of(posed, torch.zeros(4, 16), torch.full((4,), 0.5), prior)
    again = decoder(
        numbers._replace(betas=random_numbers(decoder, 4).betas), torch.full((4,), 0.5)
    )
    torch.testing.assert_close(again.points, posed.points, atol=1e-4, rtol=0)


def test_the_crop_sees_what_the_camera_sees(reduced_body, prior):
    """True points, turned into the crop's camera, lie where the crop's evidence says."""
    variables = walk(reduced_body, copy.deepcopy(prior).double(), 6)
    evidence = evidence_of(reduced_body, variables)
    crops = evidence.crops + np.array([20.0, -10, 5, 0.3])
    seen = seen_in(dataclasses.replace(evidence, crops=crops))
    points = reduced_body.posed(variables).points[:, :33].float() @ seen.camera_from_crop
    rays = points[..., :2] / points[..., 2:] / seen.span[:, None, None]
    torch.testing.assert_close(rays, seen.keypoints, atol=1e-4, rtol=0)
    places = points @ seen.window.mT
    places = (places[..., :2] / places[..., 2:]).double().numpy()
    corner = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    pixels = crops[:, None, :2] + crops[:, None, 2:3] / 2 * (places @ corner.T)
    np.testing.assert_allclose(pixels, evidence.keypoints[..., :2], atol=0.05)


def test_turning_the_picture_turns_the_answer(hund, evidence):
    """A camera rolled about its axis sees the same person, rolled."""
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = CAMERA[:2, 2]
    keypoints, crops = evidence.keypoints.copy(), evidence.crops.copy()
    keypoints[..., :2] = (keypoints[..., :2] - middle) @ turn.T + middle
    crops[:, :2] = (crops[:, :2] - middle) @ turn.T + middle
    crops[:, 3] += angle
    roll = np.eye(3)
    roll[:2, :2] = turn
    landmarks = evidence.world_landmarks @ roll.T
    rolled = dataclasses.replace(
        evidence, keypoints=keypoints, crops=crops, world_landmarks=landmarks
    )
    plain, turned = hund.descend(seen_in(evidence)), hund.descend(seen_in(rolled))
    matrix = torch.from_numpy(roll).float()
    torch.testing.assert_close(
        turned.states.root_translation, plain.states.root_translation @ matrix.T, atol=1e-3, rtol=0
    )
    torch.testing.assert_close(
        turned.states.global_orient, matrix @ plain.states.global_orient, atol=1e-3, rtol=0
    )
    torch.testing.assert_close(turned.states.pose, plain.states.pose, atol=1e-3, rtol=0)


def test_the_answer_does_not_know_how_large_the_pixels_are(hund, evidence):
    translation_jacobian = np.diag([2.0, 2.0, 1.0])
    keypoints, crops = evidence.keypoints.copy(), evidence.crops.copy()
    keypoints[..., :2] *= 2
    crops[:, :3] *= 2
    larger = dataclasses.replace(evidence, keypoints=keypoints, crops=crops)
    plain = hund.descend(seen_in(evidence))
    scaled = hund.descend(seen_in(larger, camera=translation_jacobian @ CAMERA))
    torch.testing.assert_close(
        plain.states.root_translation, scaled.states.root_translation, atol=1e-4, rtol=1e-4
    )


def test_a_batch_is_its_frames_one_by_one(hund, evidence):
    seen = seen_in(evidence)
    together = hund.descend(seen)
    alone = [hund.descend(seen.at(slice(i, i + 1))) for i in range(len(seen))]
    torch.testing.assert_close(
        together.terms, torch.cat([one.terms for one in alone]), atol=1e-4, rtol=1e-4
    )


def test_a_descent_is_the_same_every_time(hund, evidence):
    first, second = (hund.descend(seen_in(evidence)) for _ in range(2))
    assert torch.equal(first.latents, second.latents)


def test_more_stages_begin_like_fewer(hund, evidence):
    few, many = hund.descend(seen_in(evidence), 2), hund.descend(seen_in(evidence), 6)
    torch.testing.assert_close(many.terms[:, :3], few.terms)
    assert many.terms.isfinite().all()


def test_frames_that_bridge_a_gap_have_no_say(evidence):
    observed = evidence.observed.copy()
    observed[3] = False
    seen = seen_in(dataclasses.replace(evidence, observed=observed))
    assert (seen.confidence[3] == 0).all()
    assert (seen.confidence[[2, 4]] > 0).all()


def exact_evidence(decoder, numbers, span):
    posed = decoder(numbers, span)
    count = len(span)
    return posed, NetworkInputs(
        keypoints=posed.points[..., :2] / posed.points[..., 2:] / span[:, None, None],
        confidence=torch.ones(count, 33),
        landmarks=centred(posed.points),
        span=span,
        camera_from_crop=torch.eye(3).repeat(count, 1, 1),
        parts=torch.zeros(count, 15, 32, 32),
        has_parts=torch.zeros(count, dtype=torch.bool),
        window=torch.diag_embed(torch.stack((2 / span, 2 / span, torch.ones(count)), -1)),
        features=torch.zeros(count, NUM_FEATURES),
        has_features=torch.zeros(count, dtype=torch.bool),
    )


def test_what_is_exact_costs_nothing_but_the_priors(decoder):
    numbers = random_numbers(decoder, 4)
    posed, seen = exact_evidence(decoder, numbers, torch.full((4,), 0.5))
    feedback = EvidenceLoss(LossConfig())(numbers, posed, seen)
    terms = dict(zip(TERMS, feedback.terms.T, strict=True))
    assert terms["keypoints"].max() < 1e-3
    assert terms["landmarks"].max() < 1e-3
    assert terms["prior"].min() > 0
    assert feedback.residuals.abs().max() < 1e-3


def test_what_is_not_believed_costs_nothing(decoder):
    numbers = random_numbers(decoder, 3)
    posed, seen = exact_evidence(decoder, numbers, torch.full((3,), 0.5))
    seen = dataclasses.replace(
        seen, keypoints=seen.keypoints + 1, confidence=torch.zeros_like(seen.confidence)
    )
    assert EvidenceLoss(LossConfig())(numbers, posed, seen).terms[:, :2].abs().max() == 0


def test_the_map_shows_a_limb_where_it_is(decoder, prior):
    """Of one who stands before the camera most limbs' middles show themselves."""
    skin = BodyModel.load("low")
    start = decoder.split(decoder.start()[None])
    latent = prior.latent(torch.eye(3).repeat(1, 62, 1, 1))
    numbers = StateVector(latent, start.betas, start.orient, start.place)
    posed, seen = exact_evidence(decoder, numbers, torch.tensor([0.5]))
    state = decoder.state(posed, numbers.betas, torch.eye(3)[None])
    vertices = state.posed(skin).vertices
    camera = torch.tensor([[64 / 0.5, 0, 32], [0, 64 / 0.5, 32], [0, 0, 1]])
    parts = torch.nn.functional.avg_pool2d(render_parts(skin, vertices, camera[None], (64, 64)), 2)
    shown = dataclasses.replace(seen, parts=parts, has_parts=torch.ones(1, dtype=torch.bool))
    evidence_loss = EvidenceLoss(LossConfig())
    cost = evidence_loss(numbers, posed, shown).terms[0, TERMS.index("parts")]
    away = dataclasses.replace(shown, parts=parts.flip(-1))
    assert cost < 0.35
    assert evidence_loss(numbers, posed, away).terms[0, TERMS.index("parts")] > 1.5 * cost


def test_parts_of_evidence_are_looked_at(evidence):
    probs = np.zeros((8, 15, 64, 64), np.float32)
    probs[:, 2] = 1
    seen = seen_in(dataclasses.replace(evidence, parts=packed(probs)))
    assert seen.has_parts.all()
    torch.testing.assert_close(seen.parts[:, 2], torch.ones(8, 32, 32))


def test_what_the_keypoint_network_thought_is_told_where_it_looked(hund, evidence):
    thoughts = np.random.default_rng(0).normal(size=(8, NUM_FEATURES)).astype(np.float32)
    observed = evidence.observed.copy()
    observed[3] = False
    plain = seen_in(dataclasses.replace(evidence, observed=observed))
    told = seen_in(dataclasses.replace(evidence, observed=observed, features=thoughts))
    assert not plain.has_features.any()
    assert told.has_features.tolist() == observed.tolist()
    start, thought = (hund.descend(seen, 0).latents[:, 0] for seen in (plain, told))
    torch.testing.assert_close(start[3], thought[3])
    assert (start[observed] - thought[observed]).abs().amax(1).min() > 1e-6


def test_feedback_reaches_the_steps(hund, evidence):
    """What the stages are told changes what they do."""
    seen = seen_in(evidence)
    for change in ({"tells_losses": False}, {"tells_residuals": False}, {"remembers": False}):
        config = hund.config
        try:
            told = hund.descend(seen).latents
            hund.config = dataclasses.replace(config, **change)
            assert not torch.allclose(told[:, -1], hund.descend(seen).latents[:, -1]), change
        finally:
            hund.config = config


def test_every_weight_learns(hund, evidence):
    seen = seen_in(evidence)
    seen = dataclasses.replace(
        seen,
        parts=torch.rand(seen.parts.shape, generator=torch.Generator().manual_seed(0)),
        has_parts=torch.ones_like(seen.has_parts),
        features=torch.ones_like(seen.features),
        has_features=torch.ones_like(seen.has_features),
    )
    hund.zero_grad()
    sum(step.feedback.loss.mean() for step in hund(seen)).backward()
    for name, weights in hund.named_parameters():
        assert weights.grad is not None, name
        assert weights.grad.abs().max() > 0, name
    hund.zero_grad()


def saved(hund, prior, path):
    write_weights(path, hund.state_dict(), hund.described(prior), torch.float32)
    return path


def test_what_was_saved_is_loaded(hund, body, prior, evidence, tmp_path):
    again = Hund.load(body, prior, saved(hund, prior, tmp_path / "hund.safetensors"))
    seen = seen_in(evidence)
    assert torch.equal(again.descend(seen).latents, hund.descend(seen).latents)


def test_damaged_weights_are_named_in_one_sentence(hund, body, prior, tmp_path):
    path = saved(hund, prior, tmp_path / "hund.safetensors")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadInputError, match=r"hund\.safetensors.*restore the file"):
        Hund.load(body, prior, path)
    with pytest.raises(BadInputError, match="cannot be read"):
        Hund.load(body, prior, tmp_path / "none.safetensors")


def test_weights_of_another_prior_are_refused(hund, body, prior, tmp_path):
    path = saved(hund, prior, tmp_path / "hund.safetensors")
    other = PoseFlow.load()
    other.mean.add_(0.1)
    with pytest.raises(BadInputError, match="another pose prior"):
        Hund.load(body, other, path)


def test_a_straight_line_is_steady():
    line = np.linspace(0, 3, 20)[:, None] * np.array([1.0, -2, 0.5])
    steady = steadied(line, np.ones(20, bool), 0.01, 1.0, FPS)
    np.testing.assert_allclose(steady, line, atol=1e-6)


def test_jitter_goes_and_a_jump_stays():
    rng, frames = np.random.default_rng(0), 200
    truth = np.where(np.arange(frames) < 100, 0.0, 1.0)[:, None]
    noisy = truth + 0.01 * rng.normal(size=truth.shape)
    steady = steadied(noisy, np.ones(frames, bool), 0.01, 2.0, FPS)
    away, before = np.abs(steady - truth)[:, 0], np.abs(noisy - truth)[:, 0]
    assert away[5:95].mean() < 0.6 * before[5:95].mean()
    assert away[98:102].max() < 0.4
    assert np.delete(away, range(98, 102)).max() < 0.04


def test_gaps_are_bridged_without_a_kink():
    line = np.linspace(0, 1, 30)[:, None]
    observed = np.ones(30, bool)
    observed[10:18] = False
    broken = np.where(observed[:, None], line, 5.0)
    np.testing.assert_allclose(steadied(broken, observed, 0.01, 1.0, FPS), line, atol=1e-3)


@pytest.mark.parametrize("frames", [1, 12])
def test_a_clip_has_one_build_and_a_state_for_every_frame(hund, body, prior, reduced_body, frames):
    evidence = evidence_of(
        reduced_body, walk(reduced_body, copy.deepcopy(prior).double(), frames), noise=0.003
    )
    observed = evidence.observed.copy()
    observed[4:6] = False
    evidence = dataclasses.replace(evidence, observed=observed)
    dynamics = Dynamics.load(WEIGHTS_FILE)
    result = descend(evidence, cameras(frames), FPS, hund, body, prior, dynamics=dynamics)
    state = result.state
    assert state.pose.shape == (frames, 62, 3, 3)
    assert (state.betas == state.betas[0]).all()
    assert result.stage_losses.shape == (frames, SMALL.stages + 1, len(TERMS))
    for values in (*vars(state).values(), result.joint_confidence):
        assert values.isfinite().all()
    identity = torch.eye(3).expand(frames, 3, 3)
    turned = state.global_orient.mT @ state.global_orient
    torch.testing.assert_close(turned, identity, atol=1e-4, rtol=0)


def test_the_place_is_where_the_keypoints_are(hund, body, prior, reduced_body):
    """Whatever the stages say of the pose, the body is seen near the keypoints."""
    variables = walk(reduced_body, copy.deepcopy(prior).double(), 10)
    evidence = evidence_of(reduced_body, variables)
    state = descend(evidence, cameras(10), FPS, hund, body, prior).state
    rotations = torch.cat((state.global_orient[:, None], state.pose), 1)[:, list(reduced_body.moved)]
    found = FitVariables(
        rotations.double(), state.root_translation.double(), state.betas[0].double()
    )
    points = reduced_body.posed(found).points[:, :33]
    middles = project(points, torch.tensor(CAMERA)).mean(1)
    truth = torch.from_numpy(evidence.keypoints[..., :2]).mean(1)
    side = torch.from_numpy(evidence.crops[:, 2])
    assert ((middles - truth).norm(dim=-1) / side).max() < 0.15


def test_a_rotation_of_the_crop_is_a_rotation(evidence):
    turn = seen_in(evidence).camera_from_crop
    torch.testing.assert_close(turn.mT @ turn, torch.eye(3).expand_as(turn), atol=1e-5, rtol=0)
