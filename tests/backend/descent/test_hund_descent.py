"""Laws of the learned descent: inputs, losses, stages, weights files, and whole tracks."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from builders import CAMERA, evidence_of, walk

from hund_backend.body.camera import project
from hund_backend.body.model import BodyModel
from hund_backend.descent.keypoints import hip_centered
from hund_backend.descent.learned.hund import TERMS, EvidenceLoss, Hund, HundConfig, LossConfig
from hund_backend.descent.learned.inputs import NetworkInputs
from hund_backend.descent.learned.smoothing import smooth_curve
from hund_backend.descent.learned.state_decoder import StateDecoder, StateVector
from hund_backend.descent.learned.track import descend
from hund_backend.descent.reduced_body import FitVariables, ReducedBody
from hund_backend.errors import BadInputError
from hund_backend.perception.blazepose import NUM_FEATURES
from hund_backend.perception.packed_part_maps import pack_part_maps
from hund_backend.prior.dynamics import Dynamics
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.rendering.part_renderer import render_parts
from hund_backend.training.weights import write_weights

SMALL = HundConfig(stages=3, hidden=32, context=16, memory=24, part_code=8)
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
    torch.nn.init.normal_(hund.stage.output[-1].weight, std=0.2)
    return hund.eval()


@pytest.fixture
def evidence(reduced_body, prior):
    return evidence_of(
        reduced_body, walk(reduced_body, copy.deepcopy(prior).double(), 8), noise=0.003
    )


def inputs_of(evidence, bones=5.0):
    return NetworkInputs.from_evidence(evidence, bones)


def random_state(decoder, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    flat = 0.4 * torch.randn(count, decoder.state_size, generator=generator)
    return decoder.split(flat + decoder.mean_state())


def test_decoder_equals_body_model(decoder, body, prior):
    vector, crop_width = random_state(decoder, 5), torch.linspace(0.3, 1, 5)
    posed = decoder(vector, crop_width)
    state = decoder.state(posed, vector.betas, torch.eye(3).repeat(5, 1, 1))
    whole = state.posed(body)
    torch.testing.assert_close(
        posed.joints, whole.joints[:, decoder.joint_indices], atol=1e-5, rtol=0
    )
    points = body.keypoints(whole, "blazepose")
    torch.testing.assert_close(posed.points, points, atol=1e-4, rtol=0)
    torch.testing.assert_close(prior.pose(vector.latent), state.pose, atol=1e-4, rtol=0)


@pytest.mark.parametrize("uses_flow", [True, False])
def test_state_vector_round_trip(body, prior, uses_flow):
    decoder = StateDecoder(body, prior, uses_flow=uses_flow)
    posed = decoder(random_state(decoder, 4), torch.full((4,), 0.5))
    vector = decoder.state_vector(posed, torch.zeros(4, 16), torch.full((4,), 0.5), prior)
    again = decoder(vector._replace(betas=random_state(decoder, 4).betas), torch.full((4,), 0.5))
    torch.testing.assert_close(again.points, posed.points, atol=1e-4, rtol=0)


def test_inputs_project_true_points_into_the_crop(reduced_body, prior):
    """True points in the crop's camera project onto the inputs' keypoints."""
    variables = walk(reduced_body, copy.deepcopy(prior).double(), 6)
    evidence = evidence_of(reduced_body, variables)
    crops = evidence.crops + np.array([20.0, -10, 5, 0.3])
    inputs = inputs_of(dataclasses.replace(evidence, crops=crops))
    points = reduced_body.forward(variables).points[:, :33].float() @ inputs.camera_from_crop
    rays = points[..., :2] / points[..., 2:] / inputs.crop_width[:, None, None]
    torch.testing.assert_close(rays, inputs.keypoints, atol=1e-4, rtol=0)
    places = points @ inputs.crop_from_rays.mT
    places = (places[..., :2] / places[..., 2:]).double().numpy()
    corner = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    pixels = crops[:, None, :2] + crops[:, None, 2:3] / 2 * (places @ corner.T)
    np.testing.assert_allclose(pixels, evidence.keypoints[..., :2], atol=0.05)


def test_descent_equals_its_written_out_form(hund, evidence):
    """Context network and stages, written out for the body alone, take the same steps."""
    inputs = inputs_of(evidence).to(torch.float32)
    width, absent = inputs.crop_width.log()[:, None], torch.zeros(len(inputs), 1)
    points, config = inputs.keypoints.clamp(-2, 2), hund.config
    evidence_values = (
        2 * points.flatten(1),
        2 * (inputs.confidence[..., None] * points).flatten(1),
        inputs.confidence,
        2 * inputs.landmarks.flatten(1),
        width,
        torch.zeros(len(inputs), config.part_code),
        absent,
        torch.zeros(len(inputs), config.feature_code),
        absent,
    )
    network = hund.context
    hidden = network.input(torch.cat(evidence_values, dim=-1))
    for block in network.blocks:
        hidden = hidden + block.second(torch.nn.functional.silu(block.first(block.norm(hidden))))
    hidden = network.norm(hidden)
    flat, context = hund.mean_state + network.initial_state(hidden), network.context(hidden)
    memory = torch.zeros(len(inputs), config.memory)
    for step in hund(inputs):
        torch.testing.assert_close(step.vector.flat(), flat, atol=1e-5, rtol=0)
        vector = hund.decoder.split(flat)
        posed = hund.decoder(vector, inputs.crop_width)
        losses = hund.evidence_loss(vector, posed, inputs)
        known = (
            flat.clamp(-6, 6),
            2 * (posed.points - posed.joints[:, :1]).flatten(1),
            (1 + losses.terms).log(),
            losses.residuals,
            inputs.confidence,
            width,
            absent,
            context,
        )
        stage = hund.stage
        values = torch.nn.functional.silu(stage.input(torch.cat(known, dim=-1)))
        memory = stage.cell(values, memory)
        flat = flat + 0.5 * stage.output(memory)


def test_states_are_equivariant_to_camera_roll(hund, evidence):
    """A camera rolled about its axis gives the same states, rolled."""
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
    plain, turned = hund.descend(inputs_of(evidence)), hund.descend(inputs_of(rolled))
    matrix = torch.from_numpy(roll).float()
    torch.testing.assert_close(
        turned.states.root_translation, plain.states.root_translation @ matrix.T, atol=1e-3, rtol=0
    )
    torch.testing.assert_close(
        turned.states.global_orient, matrix @ plain.states.global_orient, atol=1e-3, rtol=0
    )
    torch.testing.assert_close(turned.states.pose, plain.states.pose, atol=1e-3, rtol=0)


def test_states_are_invariant_to_pixel_size(hund, evidence):
    scale = np.diag([2.0, 2.0, 1.0])
    keypoints, crops = evidence.keypoints.copy(), evidence.crops.copy()
    keypoints[..., :2] *= 2
    crops[:, :3] *= 2
    larger = dataclasses.replace(
        evidence, keypoints=keypoints, crops=crops, intrinsics=scale @ evidence.intrinsics
    )
    plain = hund.descend(inputs_of(evidence))
    scaled = hund.descend(inputs_of(larger))
    torch.testing.assert_close(
        plain.states.root_translation, scaled.states.root_translation, atol=1e-4, rtol=1e-4
    )


def test_batch_equals_single_frames(hund, evidence):
    inputs = inputs_of(evidence)
    together = hund.descend(inputs)
    alone = [hund.descend(inputs.select(slice(i, i + 1))) for i in range(len(inputs))]
    torch.testing.assert_close(
        together.terms, torch.cat([one.terms for one in alone]), atol=1e-4, rtol=1e-4
    )


def test_descent_is_deterministic(hund, evidence):
    first, second = (hund.descend(inputs_of(evidence)) for _ in range(2))
    assert torch.equal(first.latents, second.latents)


def test_more_stages_start_with_the_same_losses(hund, evidence):
    few, many = hund.descend(inputs_of(evidence), 2), hund.descend(inputs_of(evidence), 6)
    torch.testing.assert_close(many.terms[:, :3], few.terms)
    assert many.terms.isfinite().all()


def test_bridged_frames_have_no_confidence(evidence):
    observed = evidence.observed.copy()
    observed[3] = False
    inputs = inputs_of(dataclasses.replace(evidence, observed=observed))
    assert (inputs.confidence[3] == 0).all()
    assert (inputs.confidence[[2, 4]] > 0).all()


def exact_evidence(decoder, vector, crop_width):
    posed = decoder(vector, crop_width)
    count = len(crop_width)
    return posed, NetworkInputs(
        keypoints=posed.points[..., :2] / posed.points[..., 2:] / crop_width[:, None, None],
        confidence=torch.ones(count, 33),
        landmarks=hip_centered(posed.points),
        crop_width=crop_width,
        camera_from_crop=torch.eye(3).repeat(count, 1, 1),
        parts=torch.zeros(count, 15, 32, 32),
        has_parts=torch.zeros(count, dtype=torch.bool),
        crop_from_rays=torch.diag_embed(
            torch.stack((2 / crop_width, 2 / crop_width, torch.ones(count)), -1)
        ),
        features=torch.zeros(count, NUM_FEATURES),
        has_features=torch.zeros(count, dtype=torch.bool),
    )


def test_losses_vanish_at_exact_evidence(decoder):
    vector = random_state(decoder, 4)
    posed, inputs = exact_evidence(decoder, vector, torch.full((4,), 0.5))
    losses = EvidenceLoss(LossConfig())(vector, posed, inputs)
    terms = dict(zip(TERMS, losses.terms.T, strict=True))
    assert terms["keypoints"].max() < 1e-3
    assert terms["landmarks"].max() < 1e-3
    assert terms["prior"].min() > 0
    assert losses.residuals.abs().max() < 1e-3


def test_keypoints_without_confidence_have_no_loss(decoder):
    vector = random_state(decoder, 3)
    posed, inputs = exact_evidence(decoder, vector, torch.full((3,), 0.5))
    inputs = dataclasses.replace(
        inputs, keypoints=inputs.keypoints + 1, confidence=torch.zeros_like(inputs.confidence)
    )
    assert EvidenceLoss(LossConfig())(vector, posed, inputs).terms[:, :2].abs().max() == 0


def test_part_loss_is_low_where_parts_agree(decoder, prior):
    """Most samples on the limbs of a standing person lie in their own parts."""
    skin = BodyModel.load("low")
    start = decoder.split(decoder.mean_state()[None])
    latent = prior.latent(torch.eye(3).repeat(1, 62, 1, 1))
    vector = StateVector(latent, start.betas, start.orient, start.position)
    posed, inputs = exact_evidence(decoder, vector, torch.tensor([0.5]))
    state = decoder.state(posed, vector.betas, torch.eye(3)[None])
    vertices = state.posed(skin).vertices
    camera = torch.tensor([[64 / 0.5, 0, 32], [0, 64 / 0.5, 32], [0, 0, 1]])
    parts = torch.nn.functional.avg_pool2d(render_parts(skin, vertices, camera[None], (64, 64)), 2)
    with_map = dataclasses.replace(inputs, parts=parts, has_parts=torch.ones(1, dtype=torch.bool))
    evidence_loss = EvidenceLoss(LossConfig())
    cost = evidence_loss(vector, posed, with_map).terms[0, TERMS.index("parts")]
    away = dataclasses.replace(with_map, parts=parts.flip(-1))
    assert cost < 0.35
    assert evidence_loss(vector, posed, away).terms[0, TERMS.index("parts")] > 1.5 * cost


def test_inputs_contain_part_maps(evidence):
    probs = np.zeros((8, 15, 64, 64), np.float32)
    probs[:, 2] = 1
    inputs = inputs_of(dataclasses.replace(evidence, parts=pack_part_maps(probs)))
    assert inputs.has_parts.all()
    torch.testing.assert_close(inputs.parts[:, 2], torch.ones(8, 32, 32))


def test_features_are_used_in_observed_frames(hund, evidence):
    features = np.random.default_rng(0).normal(size=(8, NUM_FEATURES)).astype(np.float32)
    observed = evidence.observed.copy()
    observed[3] = False
    plain = inputs_of(dataclasses.replace(evidence, observed=observed))
    featured = inputs_of(dataclasses.replace(evidence, observed=observed, features=features))
    assert not plain.has_features.any()
    assert featured.has_features.tolist() == observed.tolist()
    without, with_features = (
        hund.descend(inputs, 0).latents[:, 0] for inputs in (plain, featured)
    )
    torch.testing.assert_close(without[3], with_features[3])
    assert (without[observed] - with_features[observed]).abs().amax(1).min() > 1e-6


def test_stages_depend_on_losses_residuals_and_memory(hund, evidence):
    """Each input of the stages changes the descent."""
    inputs = inputs_of(evidence)
    for change in ({"uses_losses": False}, {"uses_residuals": False}, {"uses_memory": False}):
        config = hund.config
        try:
            latents = hund.descend(inputs).latents
            hund.config = dataclasses.replace(config, **change)
            assert not torch.allclose(latents[:, -1], hund.descend(inputs).latents[:, -1]), change
        finally:
            hund.config = config


def test_every_parameter_has_a_gradient(hund, evidence):
    inputs = inputs_of(evidence)
    inputs = dataclasses.replace(
        inputs,
        parts=torch.rand(inputs.parts.shape, generator=torch.Generator().manual_seed(0)),
        has_parts=torch.ones_like(inputs.has_parts),
        features=torch.ones_like(inputs.features),
        has_features=torch.ones_like(inputs.has_features),
    )
    hund.zero_grad()
    sum(step.losses.total.mean() for step in hund(inputs)).backward()
    for name, weights in hund.named_parameters():
        assert weights.grad is not None, name
        assert weights.grad.abs().max() > 0, name
    hund.zero_grad()


def saved(hund, prior, path):
    write_weights(path, hund.state_dict(), hund.description(prior), torch.float32)
    return path


def test_weights_round_trip(hund, body, prior, evidence, tmp_path):
    again = Hund.load(body, prior, saved(hund, prior, tmp_path / "hund.safetensors"))
    inputs = inputs_of(evidence)
    assert torch.equal(again.descend(inputs).latents, hund.descend(inputs).latents)


def test_damaged_weights_raise_one_sentence(hund, body, prior, tmp_path):
    path = saved(hund, prior, tmp_path / "hund.safetensors")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadInputError, match=r"hund\.safetensors.*restore the file"):
        Hund.load(body, prior, path)
    with pytest.raises(BadInputError, match="cannot be read"):
        Hund.load(body, prior, tmp_path / "none.safetensors")


def test_weights_of_another_prior_are_rejected(hund, body, prior, tmp_path):
    path = saved(hund, prior, tmp_path / "hund.safetensors")
    other = PoseFlow.load()
    other.mean.add_(0.1)
    with pytest.raises(BadInputError, match="another pose prior"):
        Hund.load(body, other, path)


def test_smoothing_keeps_a_line():
    line = np.linspace(0, 3, 20)[:, None] * np.array([1.0, -2, 0.5])
    steady = smooth_curve(line, np.ones(20, bool), 0.01, 1.0, FPS)
    np.testing.assert_allclose(steady, line, atol=1e-6)


def test_smoothing_removes_jitter_and_keeps_a_jump():
    rng, frames = np.random.default_rng(0), 200
    truth = np.where(np.arange(frames) < 100, 0.0, 1.0)[:, None]
    noisy = truth + 0.01 * rng.normal(size=truth.shape)
    steady = smooth_curve(noisy, np.ones(frames, bool), 0.01, 2.0, FPS)
    away, before = np.abs(steady - truth)[:, 0], np.abs(noisy - truth)[:, 0]
    assert away[5:95].mean() < 0.6 * before[5:95].mean()
    assert away[98:102].max() < 0.4
    assert np.delete(away, range(98, 102)).max() < 0.04


def test_smoothing_bridges_gaps_of_a_line():
    line = np.linspace(0, 1, 30)[:, None]
    observed = np.ones(30, bool)
    observed[10:18] = False
    broken = np.where(observed[:, None], line, 5.0)
    np.testing.assert_allclose(smooth_curve(broken, observed, 0.01, 1.0, FPS), line, atol=1e-3)


@pytest.mark.parametrize("frames", [1, 12])
def test_track_has_one_shape_and_finite_states(hund, body, prior, reduced_body, frames):
    evidence = evidence_of(
        reduced_body, walk(reduced_body, copy.deepcopy(prior).double(), frames), noise=0.003
    )
    observed = evidence.observed.copy()
    observed[4:6] = False
    evidence = dataclasses.replace(evidence, observed=observed)
    dynamics = Dynamics.load(prior)
    result = descend(evidence, FPS, hund, body, prior, dynamics=dynamics)
    state = result.state
    assert state.pose.shape == (frames, 62, 3, 3)
    assert (state.betas == state.betas[0]).all()
    assert result.stage_losses.shape == (frames, SMALL.stages + 1, len(TERMS))
    for values in (*vars(state).values(), result.joint_confidence):
        assert values.isfinite().all()
    identity = torch.eye(3).expand(frames, 3, 3)
    turned = state.global_orient.mT @ state.global_orient
    torch.testing.assert_close(turned, identity, atol=1e-4, rtol=0)


def test_translation_matches_the_keypoints(hund, body, prior, reduced_body):
    """The body projects near the keypoints, whatever pose the stages return."""
    variables = walk(reduced_body, copy.deepcopy(prior).double(), 10)
    evidence = evidence_of(reduced_body, variables)
    state = descend(evidence, FPS, hund, body, prior).state
    rotations = torch.cat((state.global_orient[:, None], state.pose), 1)[
        :, list(reduced_body.joint_indices)
    ]
    found = FitVariables(
        rotations.double(), state.root_translation.double(), state.betas[0].double()
    )
    points = reduced_body.forward(found).points[:, :33]
    middles = project(points, torch.tensor(CAMERA)).mean(1)
    truth = torch.from_numpy(evidence.keypoints[..., :2]).mean(1)
    side = torch.from_numpy(evidence.crops[:, 2])
    assert ((middles - truth).norm(dim=-1) / side).max() < 0.15


def test_crop_rotation_is_a_rotation(evidence):
    turn = inputs_of(evidence).camera_from_crop
    torch.testing.assert_close(turn.mT @ turn, torch.eye(3).expand_as(turn), atol=1e-5, rtol=0)
