"""Laws of the synthetic faces and of what is fitted on them."""

import numpy as np
import pytest
import torch

from hund_backend.body.file import load_body_file
from hund_backend.descent.face.hund import FaceHund, FaceHundConfig
from hund_backend.descent.face.inputs import POINTS, FaceInputs
from hund_backend.descent.face.model import FaceModel
from hund_backend.descent.face.neutral import displacements
from hund_backend.training.faces.expressions import LEVEL_KEYS, LEVELS, key_alone, levels
from hund_backend.training.faces.fit_face import shares_of
from hund_backend.training.faces.metrics import landmark_error, turn_error_deg
from hund_backend.training.faces.pictures import SIZE_PX, FacePainter
from hund_backend.training.faces.samples import FaceDataset, FaceSample, FaceTruth, FaceVariation
from hund_backend.training.faces.train_face_hund import FaceHundRecipe, batch_loss

NAMES = load_body_file().arkit_names


@pytest.fixture(scope="module")
def painter():
    return FacePainter(load_body_file())


def test_a_picture_depends_on_its_seed_alone(painter):
    def picture(seed):
        rng = np.random.default_rng(seed)
        return painter.render(painter.person(rng), painter.sample(rng), rng)

    one, two, other = picture(3), picture(3), picture(4)
    np.testing.assert_array_equal(one.image, two.image)
    assert (one.image != other.image).any() and one.image.shape == (SIZE_PX, SIZE_PX, 3)
    assert np.isfinite(one.pixels).all()


def test_no_face_does_two_opposite_things(painter):
    rng = np.random.default_rng(0)
    for _ in range(50):
        arkit = painter.sample(rng).arkit
        assert arkit.min() >= 0 and arkit.max() <= 1

        def value(name, arkit=arkit):
            return arkit[NAMES.index(name)]

        assert min(value("jawLeft"), value("jawRight")) == 0
        assert min(value("eyeLookInLeft"), value("eyeLookOutLeft")) == 0
        assert value("mouthClose") <= value("jawOpen")


def test_known_weights_are_found_again():
    model, rng = FaceModel.load(), np.random.default_rng(1)
    geometry, network = rng.random((400, 52)), rng.random((400, 52))
    truth = 0.7 * geometry + 0.2 * network
    shares = shares_of(model, truth, geometry, network)
    np.testing.assert_allclose(shares, np.tile([0.7, 0.2], (52, 1)), atol=0.01)


def test_the_model_is_symmetric():
    model = FaceModel.load()
    mirror = list(model.mirror)
    np.testing.assert_allclose(model.shares, model.shares[mirror], atol=1e-6)
    assert [mirror[row] for row in mirror] == list(range(52))


def test_people_are_symmetric_and_differ(painter):
    one, other = (painter.person(np.random.default_rng(seed)) for seed in (1, 2))
    template = painter.body.template[painter.vertices]
    assert 0.001 < np.linalg.norm(one.rest - other.rest, axis=1).mean() < 0.02  # metres
    place = np.full(len(painter.body.template), -1)
    place[painter.vertices] = np.arange(len(painter.vertices))
    mirror = place[painter.body.mirror_vertices[painter.vertices]]
    np.testing.assert_allclose(one.rest[mirror] * (-1, 1, 1), one.rest, atol=2e-3)
    assert np.abs(template[mirror] * (-1, 1, 1) - template).max() < 2e-3


def test_levels_hold_each_key_alone():
    rows = levels(NAMES)
    assert len(rows) == len(LEVEL_KEYS) * len(LEVELS)
    assert (np.count_nonzero(rows, axis=1) <= 3).all() and set(rows[rows > 0]) == set(LEVELS)
    rng = np.random.default_rng(0)
    for _ in range(50):
        values = key_alone(NAMES, rng)
        assert 1 <= np.count_nonzero(values) <= 2 and values.max() <= 1


def exact_samples(count=60):
    """Samples that the model explains exactly."""
    model, generator = FaceModel.load(), np.random.default_rng(0)
    arkit = np.zeros((count, 52))
    for row in range(count // 2, count):
        arkit[row] = key_alone(NAMES, generator)
    landmarks = 900 * (model.mean + np.einsum("fk,kpx->fpx", arkit, model.keys)) * (1, -1, -1)
    shown = displacements(model, landmarks, arkit)
    inputs = FaceInputs.from_displacements(model, shown)
    points = list(POINTS)
    surface = model.mean[points] + np.einsum("fk,kpx->fpx", arkit, model.keys[:, points])
    surface -= surface.mean(axis=1, keepdims=True)
    truth = FaceTruth(
        torch.from_numpy(arkit).float(),
        torch.eye(3).expand(count, 3, 3),
        torch.from_numpy(surface).float(),
        torch.full((count,), 0.09),
    )
    return model, FaceSample(inputs, truth)


def test_samples_are_mirrored_twice_to_themselves():
    model, sample = exact_samples()
    dataset = FaceDataset(sample, model)
    chosen = torch.ones(len(sample.inputs), dtype=torch.bool)
    twice = FaceSample(*dataset._mirrored(FaceSample(*dataset._mirrored(sample, chosen)), chosen))
    torch.testing.assert_close(twice.truth.arkit, sample.truth.arkit)
    torch.testing.assert_close(twice.inputs.coefficients, sample.inputs.coefficients)
    # Partners are the nearest mirrored landmarks, so a few are not each other's.
    off = (twice.inputs.landmarks - sample.inputs.landmarks).norm(dim=-1)
    assert off.median() < 1e-6


def test_transferred_expressions_are_shown():
    model, sample = exact_samples()
    exact = FaceVariation(
        mirrored=0.0,
        jitter=0.0,
        rest_error=0.0,
        unknown_rest=0.0,
        unknown_numbers=0.0,
        transferred=1.0,
        response=(1.0, 1.0),
        numbers_response=(1.0, 1.0),
        numbers_noise=0.0,
    )
    inputs, truth = FaceDataset(sample, model, exact).draw(80, torch.Generator().manual_seed(0))
    seen = inputs.landmarks - inputs.landmarks.mean(1, keepdim=True)
    assert (seen - truth.landmarks).norm(dim=-1).mean() < 2e-3  # metres: the alignment's part
    torch.testing.assert_close(inputs.coefficients, truth.arkit, atol=1e-5, rtol=0)


def test_the_truth_has_no_error():
    model, sample = exact_samples()
    torch.manual_seed(0)
    small = FaceHundConfig(stages=1, hidden=16, context=8, memory=8)
    posed = FaceHund(small, model)(sample.inputs)[0].posed
    exact = posed._replace(
        activations=sample.truth.arkit, landmarks=sample.truth.landmarks, turn=sample.truth.turn
    )
    assert landmark_error(exact, sample.truth).max() < 1e-5
    assert turn_error_deg(exact, sample.truth).max() < 1e-3


def test_a_batch_is_learned():
    model, sample = exact_samples()
    torch.manual_seed(0)
    hund = FaceHund(FaceHundConfig(stages=2, hidden=48, context=24, memory=32), model)
    hund.decoder.set_mixing(sample.truth.arkit)
    batch = sample.select(torch.arange(0, 60, 4))
    optimizer = torch.optim.AdamW(hund.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = batch_loss(hund, batch, FaceHundRecipe(), 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
