"""Laws of reading faces: conversion, crops, presence, and evidence without a NaN."""

import dataclasses
import zipfile

import numpy as np
import pytest

from hund_backend.perception.evidence import Evidence
from hund_backend.perception.face.evidence import FaceEvidence, FaceState
from hund_backend.perception.face.follow import FaceConfig, FacePerception
from hund_backend.perception.face.head import head_crop, landmark_crop
from hund_backend.perception.face.networks import BLENDSHAPE_LANDMARKS, FaceNetworks, FaceOutput
from hund_backend.video import Frame
from hund_backend.weights_file import WEIGHTS

FOLDER = WEIGHTS / "perception"
needs_networks = pytest.mark.skipif(
    not (FOLDER / "face_landmarks.safetensors").is_file(), reason="run 'make setup' first"
)


class DrawnFaces:
    """Networks that see a face wherever a picture is bright, its landmarks on a fixed mask."""

    def __init__(self):
        self.calls = []

    def predict(self, images):
        self.calls.append(len(images))
        rng = np.random.default_rng(0)
        mask = np.zeros((478, 3), np.float32)
        mask[:, :2] = 128 + rng.uniform(-80, 80, (478, 2))
        mask[0, :2], mask[1, :2] = 128 - 256 / 3, 128 + 256 / 3  # the next crop is the same
        mask[33, :2], mask[263, :2] = (80, 100), (176, 100)
        bright = images[:, 96:160, 96:160].mean(axis=(1, 2, 3)) / 255
        return FaceOutput(
            landmarks=np.repeat(mask[None], len(images), axis=0),
            presence=bright.astype(np.float32),
            features=np.repeat(bright[:, None], 512, axis=1).astype(np.float32),
        )

    def coefficients(self, landmarks):
        return np.full((len(landmarks), 52), 0.25, np.float32)


def frames_with(brightness):
    for number, value in enumerate(brightness):
        image = np.full((200, 300, 3), value, np.uint8)
        yield Frame(number=number, time=number / 30, image=image)


def test_the_blend_shape_network_reads_146_landmarks_in_order():
    assert len(BLENDSHAPE_LANDMARKS) == 146
    assert list(BLENDSHAPE_LANDMARKS) == sorted(set(BLENDSHAPE_LANDMARKS))
    assert set(range(468, 478)) <= set(BLENDSHAPE_LANDMARKS)


def test_a_crop_of_the_landmarks_has_level_eyes_in_the_middle():
    rng = np.random.default_rng(1)
    points = rng.normal(0, 40, (478, 3))
    points[33, :2], points[263, :2] = (-30, 0), (30, 0)
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = points.copy()
    turned[:, :2] = points[:, :2] @ turn.T + (200, 100)
    straight, crop = landmark_crop(points), landmark_crop(turned)
    assert crop[3] == pytest.approx(angle)
    assert crop[2] == pytest.approx(straight[2])
    np.testing.assert_allclose(crop[:2], turn @ straight[:2] + (200, 100))


def full_visibility(features):
    return np.ones((len(features), 2), np.float32)


@pytest.fixture
def face_evidence_of(body_evidence):
    """A function: brightness of each frame → evidence of the face, and the networks used."""

    def of(brightness, change=lambda evidence: evidence, config=None, visibility=full_visibility):
        networks = DrawnFaces()
        perception = FacePerception(networks, visibility, config)
        (face,) = perception.run(frames_with(brightness), [change(body_evidence(len(brightness)))])
        return face, networks

    return of


@pytest.fixture
def body_evidence():
    def of(num_frames):
        intrinsics = np.array([[300.0, 0, 150], [0, 300, 100], [0, 0, 1]])
        evidence = Evidence(
            track_id=0,
            frames=np.arange(num_frames),
            observed=np.ones(num_frames, bool),
            keypoints=np.zeros((num_frames, 33, 3)),
            world_landmarks=np.zeros((num_frames, 33, 3)),
            crops=np.tile([150.0, 100, 200, 0], (num_frames, 1)),
            intrinsics=np.repeat(intrinsics[None], num_frames, axis=0),
            masks=np.zeros((num_frames, 64, 64), np.uint8),
        )
        keypoints = np.zeros((num_frames, 33, 3), np.float32)
        keypoints[:, :, :2] = (150, 120)
        places = {0: (150, 100), 2: (162, 90), 5: (138, 90), 7: (175, 95), 8: (125, 95)}
        places |= {9: (158, 115), 10: (142, 115)}
        for point, place in places.items():
            keypoints[:, point, :2] = place
        world = np.zeros((num_frames, 33, 3), np.float32)
        world[:, 0, 2], world[:, 7], world[:, 8] = -0.1, (0.07, 0, 0), (-0.07, 0, 0)
        return dataclasses.replace(evidence, keypoints=keypoints, world_landmarks=world)

    return of


def test_faces_in_the_dark_count_little(face_evidence_of):
    confidences = []
    for light in ((20.0, 50.0), (100.0, 300.0), (300.0, 400.0)):
        face, _ = face_evidence_of([255, 255], config=FaceConfig(light=light))
        assert face.observed.all() == (light[0] < 255)
        confidences.append(face.confidence[0])
    assert confidences[0] > confidences[1] > confidences[2] == 0


def test_faces_are_seen_where_they_are_and_interpolated_between(face_evidence_of):
    face, networks = face_evidence_of([255, 255, 0, 255, 255])
    assert face.observed.tolist() == [True, True, False, True, True]
    assert face.states[2] == FaceState.NOT_FOUND and face.confidence[2] == 0
    for field in dataclasses.fields(FaceEvidence):
        assert np.isfinite(getattr(face, field.name).astype(float)).all()
    assert len(networks.calls) > 0


def test_no_face_is_invented_where_none_is(face_evidence_of):
    face, _ = face_evidence_of([0, 0, 0])
    assert not face.observed.any() and not face.landmarks.any() and not face.arkit.any()
    assert (face.states == FaceState.NOT_FOUND).all()


def test_a_face_that_is_followed_is_read_once_a_frame(face_evidence_of):
    face, networks = face_evidence_of([255] * 12)
    # The first crop is centered again.
    assert face.observed.all() and sum(networks.calls) == 12 + 1


def test_a_face_that_is_not_there_is_looked_for_ever_more_rarely(face_evidence_of):
    face, networks = face_evidence_of([0] * 60)
    assert (face.states == FaceState.NOT_FOUND).all()
    assert sum(networks.calls) < 60
    face, _ = face_evidence_of([0] * 30 + [255] * 10)
    assert face.observed[-6:].all()


def test_a_crop_moves_along_with_the_head(face_evidence_of):
    def moving(evidence):
        keypoints = evidence.keypoints.copy()
        keypoints[1:, :, 0] += 40
        return dataclasses.replace(evidence, keypoints=keypoints)

    face, networks = face_evidence_of([255] * 3, moving)
    assert face.observed.all() and sum(networks.calls) == 3 + 1
    still, _ = face_evidence_of([255] * 3)
    np.testing.assert_allclose(face.landmarks[1, :, 0] - still.landmarks[1, :, 0], 40, atol=1e-3)


def test_a_covered_face_is_not_seen_and_half_a_face_is(face_evidence_of):
    def of(eyes, mouth):
        return lambda features: np.tile(np.array([eyes, mouth], np.float32), (len(features), 1))

    hidden, _ = face_evidence_of([255] * 3, visibility=of(0.1, 0.05))
    assert (hidden.states == FaceState.NOT_FOUND).all() and not hidden.confidence.any()
    masked, _ = face_evidence_of([255] * 3, visibility=of(0.9, 0.1))
    assert masked.observed.all() and (masked.visibility[:, 1] < 0.5).all()
    whole, _ = face_evidence_of([255] * 3)
    assert (masked.confidence < whole.confidence).all()


def test_frames_without_a_face_need_not_be_read(body_evidence):
    evidence = body_evidence(8)
    observed = evidence.observed.copy()
    observed[[0, 1, 7]] = False
    evidence = dataclasses.replace(evidence, observed=observed)
    perception = FacePerception(DrawnFaces(), full_visibility)
    span = perception.span([evidence])
    assert span == range(2, 7)
    frames = list(frames_with([255] * 8))
    (whole,) = perception.run(frames, [evidence])
    (part,) = perception.run(frames[span.start : span.stop], [evidence], first=span.start)
    for field in dataclasses.fields(FaceEvidence):
        np.testing.assert_array_equal(getattr(part, field.name), getattr(whole, field.name))
    away = dataclasses.replace(evidence, observed=np.zeros(8, bool))
    assert not perception.span([away])
    (none,) = perception.run((), [away])
    assert (none.states == FaceState.NO_BODY).all()


@pytest.mark.parametrize("turn", [-0.1, 0.0])
def test_the_back_of_a_head_is_left_out(face_evidence_of, turn):
    def away(evidence):
        world = evidence.world_landmarks.copy()
        world[:, 0] = (0.1, 0, -turn)
        return dataclasses.replace(evidence, world_landmarks=world)

    face, networks = face_evidence_of([255, 255], away)
    assert (face.states == FaceState.TURNED_AWAY).all() and not networks.calls


def test_a_small_face_is_left_out_with_its_reason(face_evidence_of):
    face, _ = face_evidence_of([255, 255], config=FaceConfig(min_side=500.0))
    assert (face.states == FaceState.TOO_SMALL).all() and not face.observed.any()


def test_frames_without_the_body_have_no_face(face_evidence_of):
    def unseen(evidence):
        observed = evidence.observed.copy()
        observed[1] = False
        return dataclasses.replace(evidence, observed=observed)

    face, _ = face_evidence_of([255, 255, 255], unseen)
    assert face.states.tolist() == [FaceState.SEEN, FaceState.NO_BODY, FaceState.SEEN]


def test_a_selection_has_the_same_faces(face_evidence_of, body_evidence):
    face, _ = face_evidence_of([255, 255, 0, 255])
    evidence = dataclasses.replace(body_evidence(4), face=face)
    rows = np.array([2, 0])
    chosen = evidence.select(rows).face
    np.testing.assert_array_equal(chosen.landmarks, face.landmarks[rows])
    np.testing.assert_array_equal(chosen.states, face.states[rows])


def test_the_expected_crop_holds_the_head(body_evidence):
    crop = head_crop(body_evidence(1).keypoints[0])
    assert np.abs(crop[:2] - (150, 102.5)).max() < 1 and crop[2] == pytest.approx(92.5, rel=0.05)
    assert crop[3] == pytest.approx(0)


@needs_networks
def test_conversion_equals_the_networks_own_runtime():
    """On noise, which uses all operations; the fetched package is read from the cache."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    from tools.cache import cache_folder
    from tools.fetch_models import FACE, FACE_TASK

    archive = cache_folder() / FACE.archive
    if not archive.is_file():
        pytest.skip("the package is not in the cache")
    with zipfile.ZipFile(archive) as wheel, wheel.open(FACE_TASK[0]) as opened:
        task = zipfile.ZipFile(opened)
        members = {
            name: task.read(f"{name}.tflite")
            for name in ("face_landmarks_detector", "face_blendshapes")
        }
    networks, rng = FaceNetworks.open(FOLDER), np.random.default_rng(0)

    def own(name, array):
        runtime = interpreter.Interpreter(model_content=members[name])
        runtime.allocate_tensors()
        runtime.set_tensor(runtime.get_input_details()[0]["index"], array)
        runtime.invoke()
        return [runtime.get_tensor(d["index"]).ravel() for d in runtime.get_output_details()]

    image = rng.integers(0, 256, (1, 256, 256, 3), np.uint8)
    output = networks.predict(image)
    expected, logit = own("face_landmarks_detector", image.astype(np.float32) / 255)[:2]
    np.testing.assert_allclose(output.landmarks.ravel(), expected, atol=2e-3)
    assert output.presence[0] == pytest.approx(1 / (1 + np.exp(-logit[0])), abs=1e-4)
    landmarks = rng.uniform(0, 200, (1, 478, 3)).astype(np.float32)
    points = landmarks[:, list(BLENDSHAPE_LANDMARKS), :2]
    (numbers,) = own("face_blendshapes", points)
    found = networks.coefficients(landmarks)[0]
    np.testing.assert_allclose(found[:51], numbers[1:], atol=1e-4)
    assert found[51] == 0
