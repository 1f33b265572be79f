"""Laws of the synthetic faces and of what is fitted on them."""

import numpy as np
import pytest
import torch

from hund_backend.body.file import load_body_file
from hund_backend.descent.face.hund import FaceHund, FaceHundConfig
from hund_backend.descent.face.inputs import POINTS, FaceInputs
from hund_backend.descent.face.model import FaceModel
from hund_backend.descent.face.neutral import displacements
from hund_backend.perception.crops import extract_crops
from hund_backend.perception.face.head import landmark_crop
from hund_backend.perception.face.networks import FaceNetworks
from hund_backend.perception.face.visibility import FaceVisibility
from hund_backend.training.faces.conditions import CONDITIONS
from hund_backend.training.faces.expressions import LEVEL_KEYS, LEVELS, key_alone, levels
from hund_backend.training.faces.fit_face import shares_of
from hund_backend.training.faces.generate_visibility import NOTHING, visibility_of
from hund_backend.training.faces.metrics import landmark_error, turn_error_deg
from hund_backend.training.faces.pictures import SIZE_PX, FacePainter
from hund_backend.training.faces.pictures import FaceSample as FaceSamplePicture
from hund_backend.training.faces.samples import (
    FaceDataset,
    FaceSample,
    FaceTruth,
    FaceVariation,
    joined,
)
from hund_backend.training.faces.train_face_hund import (
    FaceHundRecipe,
    batch_loss,
    unlabeled_loss,
)
from hund_backend.training.faces.train_face_visibility import FaceVisibilityRecipe, describe
from hund_backend.training.faces.train_face_visibility import train as train_visibility
from hund_backend.weights_file import WEIGHTS

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


def test_faces_without_labels_lower_their_own_loss():
    model, sample = exact_samples()
    torch.manual_seed(0)
    hund = FaceHund(FaceHundConfig(stages=1, hidden=32, context=16, memory=16), model)
    hund.decoder.set_mixing(sample.truth.arkit)
    inputs, recipe = sample.inputs.select(torch.arange(0, 60, 4)), FaceHundRecipe(unlabeled=15)
    optimizer = torch.optim.AdamW(hund.parameters(), lr=3e-3)
    before = hund(inputs)[-1].losses.total.mean().item()
    for _ in range(30):
        loss = unlabeled_loss(hund, inputs, recipe, 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert hund(inputs)[-1].losses.total.mean().item() < 0.9 * before
    twice = joined([inputs, inputs])
    assert len(twice) == 30 and torch.equal(twice.landmarks[15:], inputs.landmarks)


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions_change_a_crop_by_their_random_numbers_alone(painter, name):
    rng = np.random.default_rng(5)
    picture = painter.render(painter.person(rng), painter.sample(rng), rng)
    angles = np.linspace(0, 2 * np.pi, 478, endpoint=False)
    points = 128 + 60 * np.stack((np.cos(angles), np.sin(angles)), axis=1)
    before = picture.image.copy()
    one, two = (
        CONDITIONS[name].change(picture.image.copy(), points, np.random.default_rng(7))
        for _ in range(2)
    )
    np.testing.assert_array_equal(one, two)
    assert one.shape == before.shape and one.dtype == np.uint8 and (one != before).any()


def test_what_is_covered_is_not_visible_and_spoilt_landmarks_are_little():
    clean = np.random.default_rng(0).uniform(60, 200, (478, 3))
    clean[33, :2], clean[263, :2] = (80, 100), (180, 100)
    np.testing.assert_array_equal(visibility_of("mask", clean, clean), [1, 0])
    np.testing.assert_array_equal(visibility_of("sunglasses", clean, clean), [0, 1])
    spoilt = [
        visibility_of("blurred", clean, clean + np.array([off, 0, 0])) for off in (0, 1, 2, 8)
    ]
    assert (np.diff(spoilt, axis=0) < 0).all() and spoilt[0].min() == 1 and spoilt[-1].max() < 0.01


def test_visibility_is_learned_from_features():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(600, 512)).astype(np.float32)
    wanted = (features[:, :2] > 0).astype(np.float32)
    arrays = {
        "features": features,
        "visibility": wanted,
        "group": np.where(np.arange(600) % 2, "clip", "synthetic 1"),
        "condition": np.where(np.arange(600) % 3, "mask", NOTHING),
    }
    visibility = train_visibility(arrays, FaceVisibilityRecipe(steps=150, dropout=0.0, decay=0.0))
    assert ((visibility(features) > 0.5) == (wanted > 0.5)).mean() > 0.9
    assert len(describe(visibility, arrays)) == 4


@pytest.mark.skipif(
    not (WEIGHTS / "perception" / "face_landmarks.safetensors").is_file(),
    reason="run 'make setup' first",
)
def test_a_mouth_behind_a_mask_is_not_visible(painter):
    networks, visibility = FaceNetworks.open(WEIGHTS / "perception"), FaceVisibility.load()
    found = {}
    for number in range(3):
        rng = np.random.default_rng(50 + number)
        sample = FaceSamplePicture(arkit=np.zeros(52), turn=np.diag([1.0, -1, -1]))
        picture = painter.render(painter.person(rng), sample, rng)
        crop = landmark_crop(networks.predict(picture.image[None]).landmarks[0])
        image = extract_crops(picture.image, crop[None])
        points = networks.predict(image).landmarks[0, :, :2].astype(float)
        for name in ("mask", "covered"):
            changed = CONDITIONS[name].change(image[0].copy(), points, rng)
            found.setdefault(name, []).append(
                visibility(networks.predict(changed[None]).features)[0]
            )
        found.setdefault("nothing", []).append(visibility(networks.predict(image).features)[0])
    means = {name: np.mean(values, axis=0) for name, values in found.items()}
    assert means["nothing"].min() > 0.6
    assert means["mask"][1] < 0.3 and means["covered"].max() < 0.3
