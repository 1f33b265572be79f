"""Laws of the learned descent of faces: its decoder, inputs, polish, and one identity a clip."""

import dataclasses

import numpy as np
import pytest
import torch

from hund_backend.descent.face.brows import brow_coefficients
from hund_backend.descent.face.hund import TERMS, FaceHund, FaceHundConfig
from hund_backend.descent.face.inputs import POINTS, FaceInputs, identity_of
from hund_backend.descent.face.lips import pucker
from hund_backend.descent.face.model import NUM_IDENTITY, FaceModel
from hund_backend.descent.face.neutral import displacements
from hund_backend.descent.face.solve import descend
from hund_backend.descent.face.state_decoder import UNSEEN, FaceDecoder
from hund_backend.errors import BadInputError

MODEL = FaceModel.load()
SMALL = FaceHundConfig(stages=2, hidden=32, context=16, memory=24)
FRAMES = 40


def key(name):
    return MODEL.names.index(name)


def activations(seed=0):
    """A face at rest for half of the frames, then a few keys."""
    rng, values = np.random.default_rng(seed), np.zeros((FRAMES, 52))
    for name in ("jawOpen", "mouthSmileLeft", "eyeBlinkRight", "browInnerUp"):
        values[FRAMES // 2 :, key(name)] = rng.uniform(0.3, 1, FRAMES // 2)
    return values


def inputs_of(arkit, identity=None):
    """Inputs and displacements of faces that the model explains exactly."""
    identity = np.zeros(NUM_IDENTITY) if identity is None else identity
    shape = MODEL.mean + np.einsum("k,kpx->px", identity, MODEL.identity)
    landmarks = 900 * (shape + np.einsum("fk,kpx->fpx", arkit, MODEL.keys)) * (1, -1, -1)
    shown = displacements(MODEL, landmarks, arkit)
    return FaceInputs.from_displacements(MODEL, shown), shown


@pytest.fixture
def hund():
    """An untrained network whose stages take steps."""
    torch.manual_seed(0)
    hund = FaceHund(SMALL, MODEL)
    hund.decoder.set_mixing(torch.rand(200, 52))
    torch.nn.init.normal_(hund.stage.output[-1].weight, std=0.05)
    return hund


def test_the_first_guess_is_the_face_at_rest(hund):
    inputs, _ = inputs_of(activations())
    step = hund.evaluate(hund.decoder.first_guess(inputs), inputs)
    assert not step.posed.activations.any()
    torch.testing.assert_close(step.posed.landmarks, inputs.neutral, atol=1e-5, rtol=0)


def test_states_give_every_key_but_the_unseen_one(hund):
    decoder, generator = hund.decoder, torch.Generator().manual_seed(0)
    flat = 4 * torch.randn(500, decoder.state_size, generator=generator)
    values = decoder.activations(decoder.split(flat)).detach()
    reached = (values > 0.1).any(dim=0)
    assert [MODEL.names[row] for row in (~reached).nonzero()[:, 0]] == [UNSEEN]
    for one, other in (("eyeLookInLeft", "eyeLookOutLeft"), ("jawLeft", "jawRight")):
        both = values[:, [key(one), key(other)]].clamp(0, 1)
        assert both.amin(dim=1).max() == 0


def test_a_flat_state_is_split_and_joined(hund):
    flat = torch.randn(3, hund.decoder.state_size, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(hund.decoder.split(flat).flat(), flat)


def test_identity_is_found_again():
    identity = np.random.default_rng(0).normal(size=NUM_IDENTITY)
    shape = MODEL.mean + np.einsum("k,kpx->px", identity, MODEL.identity)
    used = np.linalg.norm(MODEL.identity, axis=(1, 2)) > 0.01  # metres, over all landmarks
    np.testing.assert_allclose(identity_of(MODEL, shape)[used], identity[used], atol=0.35)


def test_faces_of_a_batch_do_not_touch_each_other(hund):
    inputs, _ = inputs_of(activations())
    together = hund(inputs)[-1].vector.flat()
    alone = hund(inputs.select(slice(30, 31)))[-1].vector.flat()
    torch.testing.assert_close(together[30:31], alone, atol=1e-5, rtol=1e-5)


def test_every_parameter_gets_a_gradient(hund):
    inputs, _ = inputs_of(activations())
    steps = hund(inputs)
    assert len(steps) == SMALL.stages + 1 and steps[0].losses.terms.shape[1] == len(TERMS)
    sum(step.losses.total.sum() for step in steps).backward()
    missing = [name for name, each in hund.named_parameters() if each.grad is None]
    assert not missing


def test_a_clip_has_one_identity(hund):
    """Frames that show another person alone have that person's identity in part."""
    inputs, _ = inputs_of(activations())
    confidence = np.ones(FRAMES)
    posed = descend(hund, inputs, confidence)
    shuffled = torch.randperm(FRAMES, generator=torch.Generator().manual_seed(0))
    other = descend(hund, inputs.select(shuffled), confidence)
    torch.testing.assert_close(other.arkit, posed.arkit[shuffled], atol=1e-4, rtol=0)


def test_a_narrow_mouth_is_a_pucker_where_the_network_agrees():
    truth = np.zeros((FRAMES, 52))
    truth[20:, key("mouthPucker")] = 0.8
    seen = np.einsum("fk,kpx->fpx", truth, MODEL.seen_keys)
    found = pucker(MODEL, seen, np.zeros_like(truth), truth)
    assert found[20:].min() > 0.6 and not found[:20].any()
    assert not pucker(MODEL, seen, np.zeros_like(truth), np.zeros_like(truth)).any()
    # What other keys explain is no pucker.
    other = np.zeros((1, 52))
    other[0, key("mouthFunnel")] = 1.0
    seen = np.einsum("fk,kpx->fpx", other, MODEL.seen_keys)
    assert pucker(MODEL, seen, other, np.ones((1, 52)))[0] < 0.01


def test_brows_rise_where_the_network_agrees():
    truth = np.zeros((FRAMES, 52))
    truth[20:, [key("browInnerUp"), key("browOuterUpLeft"), key("browOuterUpRight")]] = 0.8
    seen = np.einsum("fk,kpx->fpx", truth, MODEL.seen_keys)
    found = brow_coefficients(MODEL, seen, truth)
    assert found[20:, 2:].min() > 0.5 and not found[:20].any() and found[:, :2].max() < 0.1
    assert not brow_coefficients(MODEL, seen, np.zeros_like(truth)).any()


def test_points_are_those_of_the_model():
    decoder = FaceDecoder(MODEL)
    torch.testing.assert_close(
        decoder.mean.double().numpy(), MODEL.mean[list(POINTS)], atol=1e-6, rtol=0
    )


# --- Trained weights ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    return FaceHund.load(MODEL)


def test_stages_lower_the_loss_of_an_unseen_person(trained):
    rng = np.random.default_rng(3)
    inputs, _ = inputs_of(activations(), 0.5 * rng.normal(size=NUM_IDENTITY))
    losses = torch.stack([step.losses.total.mean() for step in trained(inputs)])
    guess = trained.evaluate(trained.decoder.first_guess(inputs), inputs).losses.total.mean()
    assert losses[-1] <= losses[0] and losses[-1] < guess


def test_known_keys_are_found_and_others_stay_low(trained):
    truth = activations()
    inputs, _ = inputs_of(truth)
    found = trained(inputs)[-1].posed.arkit.numpy()
    for name in ("jawOpen", "mouthSmileLeft", "eyeBlinkRight"):
        column = found[:, key(name)]
        assert column[FRAMES // 2 :].mean() > 0.5 * truth[FRAMES // 2 :, key(name)].mean(), name
        assert column[: FRAMES // 2].mean() < 0.1, name
    assert np.abs(found - truth).mean() < 0.06


def test_a_glimpse_needs_no_face_at_rest(trained):
    truth = activations()
    landmarks = 900 * (MODEL.mean + np.einsum("fk,kpx->fpx", truth, MODEL.keys)) * (1, -1, -1)
    inputs = FaceInputs.without_neutral(MODEL, landmarks[-1:], truth[-1:])
    found = descend(trained, inputs, np.ones(1)).arkit[0].numpy()
    assert found[key("jawOpen")] > 0.4 * truth[-1, key("jawOpen")]


def test_weights_of_another_face_model_are_refused(trained, monkeypatch):
    module = "hund_backend.descent.face.hund.sha256_of"
    monkeypatch.setattr(module, lambda path: "0" * 64)
    with pytest.raises(BadInputError, match="another face model"):
        FaceHund.load(MODEL)


def test_inputs_are_selected_row_by_row():
    inputs, _ = inputs_of(activations())
    chosen = inputs.select(torch.tensor([3, 5]))
    for field in dataclasses.fields(FaceInputs):
        value = getattr(inputs, field.name)
        torch.testing.assert_close(getattr(chosen, field.name), value[[3, 5]])
