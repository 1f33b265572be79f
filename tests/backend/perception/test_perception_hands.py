"""Laws of hands: where they are found, that none is invented, swapped or taken twice."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hand_scene import (
    INTRINSICS,
    LENGTH,
    SIZE,
    Hand,
    SceneNetwork,
    body_points,
    coordinate_image,
    hand_points,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from hund_backend.perception.crop_detector import Detection
from hund_backend.perception.crops import (
    crop_distance,
    crop_from_image,
    transform_points,
)
from hund_backend.perception.engine import TorchEngine, open_engine
from hund_backend.perception.evidence_builder import build_evidence
from hund_backend.perception.flips import FlipConfig, correct_flips
from hund_backend.perception.graph import load_network
from hund_backend.perception.hands.confidence import (
    hand_confidence,
    log_odds,
    point_confidence,
)
from hund_backend.perception.hands.crops import (
    crop_around_hand,
    crops_from_body,
    hand_size,
    paint_over,
    pixels_per_metre,
)
from hund_backend.perception.hands.detector import (
    NO_HANDS,
    HandDetector,
    HandDetectorConfig,
    HandRequest,
    swap_hands,
)
from hund_backend.perception.hands.evidence import HandEvidence
from hund_backend.perception.hands.evidence_builder import build_hand_evidence
from hund_backend.perception.hands.network import HandNetwork
from tools.fetch_models import FOLDER, HANDS, RECIPES, cache_folder

WEIGHTS = FOLDER / "hand_landmark.safetensors"
needs_weights = pytest.mark.skipif(not WEIGHTS.is_file(), reason="run 'make setup' to fetch them")
PLACES = st.tuples(st.floats(60, 100), st.floats(90, 150))
ANGLES = st.floats(-2.0, 2.0)


def detect(hands, *requests, config=None):
    """Hands that are found in a scene, and the network."""
    network = SceneNetwork(hands)
    detector = HandDetector(network, config)
    return detector.detect(coordinate_image(hands), list(requests), INTRINSICS), network


def request(wrists, angles=(0.0, 0.0), **fields):
    return HandRequest(points=body_points(np.array(wrists), angles), hand_length=LENGTH, **fields)


def error(found, points):
    return np.linalg.norm(found.points - points, axis=-1).max()


@settings(max_examples=20)
@given(left=PLACES, right=PLACES, left_angle=ANGLES, right_angle=ANGLES)
def test_both_hands_are_found_where_they_are(left, right, left_angle, right_angle):
    wrists, angles = (np.array(left), np.add(right, (90, 0))), (left_angle, right_angle)
    hands = [Hand(hand_points(wrists[side], angles[side], side), side) for side in (0, 1)]
    (pair,), _ = detect(hands, request(wrists, angles))
    for side in (0, 1):
        assert pair[side].side == side and error(pair[side], hands[side].points) < 2.0


def test_where_there_is_no_hand_none_is_found():
    hands = [Hand(hand_points((80, 120)), 0)]
    (pair,), _ = detect(hands, request([(80, 120), (170, 120)]))
    assert pair[0] is not None and pair[1] is None
    (pair,), _ = detect([], request([(80, 120), (170, 120)]))
    assert pair == (None, None)


def test_a_network_that_sees_no_hand_is_believed():
    hands = [Hand(hand_points((80, 120)), 0, presence=0.01)]
    (pair,), _ = detect(hands, request([(80, 120), (170, 120)]))
    assert pair == (None, None)


@settings(max_examples=20)
@given(side=st.integers(0, 1), shift=st.floats(-8, 8))
def test_one_hand_is_not_taken_for_two(side, shift):
    """The other hand is behind it, and the body's wrists lie beside each other."""
    hands = [Hand(hand_points((120, 140), 0.0, side), side)]
    (pair,), _ = detect(hands, request([(120 + shift, 140), (120 - shift, 141)]))
    assert pair[side] is not None and pair[1 - side] is None


@settings(max_examples=10)
@given(side=st.integers(0, 1), shift=st.floats(0, 10))
def test_a_hand_behind_the_other_is_found_with_less_confidence(side, shift):
    """Palms lie on each other; the network sees the front one, and the other when it is gone."""
    wrists = np.array([[120 + shift / 2, 140], [120 - shift / 2, 140]])
    layers = ("front", "behind") if side == 0 else ("behind", "front")
    hands = [Hand(hand_points(wrists[k], 0.0, k), k, layer=layers[k]) for k in (0, 1)]
    (pair,), _ = detect(hands, request(wrists))
    assert error(pair[side], hands[side].points) < 2.0
    # What is painted over is smooth, so that places are read from it less exactly.
    assert error(pair[1 - side], hands[1 - side].points) < 0.3 * LENGTH
    assert pair[1 - side].confidence < pair[side].confidence


def test_paint_changes_the_hand_alone_and_is_of_the_colors_around():
    rng = np.random.default_rng(0)
    image = rng.integers(90, 110, (SIZE, SIZE, 3)).astype(np.uint8)
    points = hand_points((120.0, 140.0), 0.4)
    for x, y in points.astype(int):
        image[y, x] = 255
    painted = paint_over(image, points)
    changed = np.argwhere((painted != image).any(-1))[:, ::-1] + 0.5
    nearest = np.linalg.norm(changed[:, None] - points, axis=-1).min(-1)
    assert nearest.max() < 0.4 * LENGTH
    rows, columns = points[:, 1].astype(int), points[:, 0].astype(int)
    assert np.abs(painted[rows, columns].astype(int) - 100).max() < 40
    tiny = paint_over(image, np.tile([[1.0, 1.0]], (21, 1)))
    assert tiny.shape == image.shape


@settings(max_examples=20)
@given(distance=st.floats(12, 60))
def test_hands_of_one_person_that_touch_are_not_swapped(distance):
    wrists = np.array([[120 + distance / 2, 140], [120 - distance / 2, 140]])
    hands = [Hand(hand_points(wrists[side], 0.0, side), side) for side in (0, 1)]
    (pair,), _ = detect(hands, request(wrists))
    for side, found in enumerate(pair):
        assert found is None or error(found, hands[side].points) < 2.0


@settings(max_examples=20)
@given(distance=st.floats(0, 50), order=st.booleans())
def test_a_hand_that_two_people_may_have_is_given_to_one(distance, order):
    """The right hand of one person touches the left hand of another."""
    wrists = np.array(
        [[60, 140], [120 - distance / 2, 140], [120 + distance / 2, 140], [190, 140]]
    )
    hands = [Hand(hand_points(wrist, 0.0, n % 2), n % 2) for n, wrist in enumerate(wrists)]
    people = [request(wrists[:2]), request(wrists[2:])]
    pairs, _ = detect(hands, *(people[::-1] if order else people))
    found = [hand for pair in (pairs[::-1] if order else pairs) for hand in pair]
    for hand, own in zip(found, hands, strict=True):
        assert hand is None or error(hand, own.points) < 2.0
    assert found[0] is not None and found[3] is not None


@settings(max_examples=20)
@given(distance=st.floats(40, 60))
def test_nobody_depends_on_the_order_of_people(distance):
    wrists = np.array(
        [[60, 140], [120 - distance / 2, 140], [120 + distance / 2, 140], [190, 140]]
    )
    hands = [Hand(hand_points(wrist, 0.0, n % 2), n % 2) for n, wrist in enumerate(wrists)]
    people = [request(wrists[:2]), request(wrists[2:])]
    forward, _ = detect(hands, *people)
    backward, _ = detect(hands, *people[::-1])
    for pair, other in zip(forward, backward[::-1], strict=True):
        for hand, same in zip(pair, other, strict=True):
            np.testing.assert_allclose(hand.points, same.points)


def test_small_hands_and_hands_out_of_view_cost_nothing():
    hands = [Hand(hand_points((80, 120)), 0)]
    small = replace(
        request([(80, 120), (170, 120)]), hand_length=HandDetectorConfig().min_length - 0.1
    )
    for person in (small, request([(-80, 120), (120, SIZE + 60)])):
        (pair,), network = detect(hands, person)
        assert pair == (None, None) and network.num_crops == 0


@settings(max_examples=20)
@given(x=st.floats(-10, 250), y=st.floats(-10, 250), angle=ANGLES)
def test_hands_at_the_border_are_finite(x, y, angle):
    hands = [Hand(hand_points((x, y), angle), 0)]
    (pair,), _ = detect(hands, request([(x, y), (120, 120)], (angle, 0.0)))
    for hand in pair:
        if hand is not None:
            values = (hand.points, hand.world_landmarks, hand.crop, hand.point_confidence)
            assert all(np.isfinite(value).all() for value in values)


def test_nobody_in_view_is_no_error():
    pairs, network = detect([])
    assert pairs == [] and network.num_crops == 0


def test_a_hand_that_is_followed_needs_one_crop():
    wrists = np.array([[80.0, 120], [170, 120]])
    hands = [Hand(hand_points(wrists[side], 0.0, side), side) for side in (0, 1)]
    (pair,), first = detect(hands, request(wrists))
    moved = np.add(wrists, (5, -3))
    hands = [Hand(hand_points(moved[side], 0.0, side), side) for side in (0, 1)]
    (again,), second = detect(hands, request(moved, previous=pair))
    assert second.num_crops == 2 < first.num_crops
    for side in (0, 1):
        assert error(again[side], hands[side].points) < 2.0


def follow(hands_of, frames):
    """Hands and crops of each frame of a person who stands still."""
    wrists = np.array([[80.0, 120], [170, 120]])
    previous, missed, found, crops = NO_HANDS, (0, 0), [], []
    for frame in range(frames):
        asked = request(wrists, previous=previous, missed=missed)
        (previous,), network = detect(hands_of(frame, wrists), asked)
        missed = tuple(m + 1 if h is None else 0 for m, h in zip(missed, previous, strict=True))
        found.append(previous)
        crops.append(network.num_crops)
    return found, crops


def test_a_hand_that_stays_away_is_looked_for_less_often_and_found_again():
    config = HandDetectorConfig()
    away = 4 * config.patience

    def hands(frame, wrists):
        sides = (0,) if frame < away else (0, 1)
        return [Hand(hand_points(wrists[side], 0.0, side), side) for side in sides]

    found, crops = follow(hands, away + config.search_wait)
    assert not any(pair[1] for pair in found[:away])
    assert all(crops[1 : config.patience])  # looked for at once
    late = np.array(crops[config.patience : away])
    assert (late > late.min()).mean() <= 1 / config.search_wait + 0.1
    assert found[-1][1] is not None
    assert error(found[-1][1], hands(away, np.array([[80.0, 120], [170, 120]]))[1].points) < 2.0


def test_a_hand_that_stays_doubtful_is_kept_and_looked_for_less_often():
    config = HandDetectorConfig()

    def hands(frame, wrists):
        return [Hand(hand_points(wrists[s], 0.0, s), s, (0.97, 0.06)[s]) for s in (0, 1)]

    found, crops = follow(hands, 4 * config.search_wait)
    assert all(pair[1] is not None for pair in found)
    assert all(pair[1].confidence < config.good_confidence for pair in found)
    assert crops[1:].count(2) >= len(crops) // 2  # of most frames one crop a hand
    assert max(crops[1:]) > 2


def test_a_doubtful_hand_is_kept_with_less_confidence():
    wrists = np.array([[80.0, 120], [170, 120]])
    hands = [Hand(hand_points(wrists[s], 0.0, s), s, (0.97, 0.5)[s]) for s in (0, 1)]
    (pair,), _ = detect(hands, request(wrists))
    assert pair[1] is not None and pair[1].confidence < pair[0].confidence


@given(
    angle=st.floats(-3, 3),
    scale=st.floats(0.3, 4),
    x=st.floats(-200, 200),
    y=st.floats(-200, 200),
)
def test_the_crop_of_a_hand_moves_with_it(angle, scale, x, y):
    points = hand_points((0, 0))
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    moved = points @ np.array([[cosine, sine], [-sine, cosine]]) + (x, y)
    one = transform_points(points, crop_from_image(crop_around_hand(points)))
    other = transform_points(moved, crop_from_image(crop_around_hand(moved)))
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert hand_size(moved) == pytest.approx(scale * hand_size(points))


def test_crops_from_the_body_hold_the_hand():
    wrists, angles = np.array([[80.0, 120], [170, 120]]), (0.4, -1.1)
    points = body_points(wrists, angles)
    for side in (0, 1):
        hand = hand_points(wrists[side], angles[side], side)
        for crop in crops_from_body(points, side, LENGTH):
            inside = transform_points(hand, crop_from_image(crop, 1))
            assert (inside > 0).all() and (inside < 1).all()
            assert crop_distance(crop, crop_around_hand(hand)) < 0.5


@given(scale=st.floats(20, 2000), seed=st.integers(0, 99))
def test_the_scale_of_a_person_is_found(scale, seed):
    rng = np.random.default_rng(seed)
    world = rng.normal(size=(33, 3))
    points = scale * world[:, :2] + rng.uniform(-500, 500, 2)
    confidence = rng.uniform(0.1, 1, 33)
    assert pixels_per_metre(points, world, confidence) == pytest.approx(scale)
    assert pixels_per_metre(np.zeros((33, 2)), np.zeros((33, 3)), confidence) == 0


@given(
    better=st.lists(st.floats(0, 1), min_size=2, max_size=2),
    worse=st.lists(st.floats(0, 1), min_size=2, max_size=2),
    distances=st.lists(st.floats(0, 3), min_size=2, max_size=2),
)
def test_more_certain_and_nearer_is_never_less_likely(better, worse, distances):
    high, low = np.maximum(better, worse), np.minimum(better, worse)
    near, far = sorted(distances)
    one, other = log_odds(*high, near, 1.0), log_odds(*low, far, 1.0)
    assert 0 <= hand_confidence(other) <= hand_confidence(one) <= 1
    assert (point_confidence(other) <= point_confidence(one)).all()


def found_pair(shift=0.0):
    """Both hands of a scene, moved."""
    wrists = np.array([[80.0 + shift, 120], [170 + shift, 120]])
    hands = [Hand(hand_points(wrists[side], 0.0, side), side) for side in (0, 1)]
    return detect(hands, request(wrists))[0][0]


def test_swapped_hands_change_sides_and_nothing_else():
    pair = found_pair()
    left, right = swap_hands(pair)
    assert (left.side, right.side) == (0, 1)
    np.testing.assert_array_equal(left.points, pair[1].points)
    assert left.confidence < pair[1].confidence  # the network says that it is a right hand
    assert swap_hands((None, pair[1]))[1] is None
    back = swap_hands(swap_hands(pair))
    assert all(a.confidence == b.confidence for a, b in zip(back, pair, strict=True))


def test_corrected_flips_of_arms_swap_the_hands_and_those_of_legs_do_not():
    pair = found_pair()
    frames = [body_detection(hands=pair) for _ in range(7)]
    for limbs, swapped in ((np.arange(11, 23), True), (np.arange(23, 33), False)):
        order = np.arange(35)
        order[limbs] = limbs + np.where(limbs % 2, 1, -1)
        flipped = [*frames]
        flipped[3] = replace(frames[3], points=frames[3].points[order])
        corrected = correct_flips(flipped, FlipConfig())
        left, right = corrected[3].hands
        assert np.array_equal(left.points, pair[1 if swapped else 0].points)
        assert (left.side, right.side) == (0, 1)
        assert corrected[2].hands is pair


def body_detection(hands):
    """A detection whose sides are far apart."""
    points = np.random.default_rng(5).uniform(0, 200, (35, 2))
    points[11:33:2, 0], points[12:33:2, 0] = 180, 20
    return Detection(
        crop=np.array([100.0, 100, 250, 0]),
        points=points,
        confidence=np.full(33, 0.9),
        world_landmarks=np.zeros((33, 3)),
        quality=0.9,
        colors=np.zeros((8, 3)),
        mask=np.zeros((64, 64), np.uint8),
        hands=hands,
    )


def test_a_person_without_a_look_at_hands_has_no_evidence_of_them():
    detections = {k: body_detection(found_pair() if k == 1 else None) for k in range(3)}
    assert build_evidence(detections, INTRINSICS, 0).hands.observed.tolist() == [
        [False, False],
        [True, True],
        [False, False],
    ]
    detections = {k: body_detection(None) for k in range(3)}
    assert build_evidence(detections, INTRINSICS, 0).hands is None


def test_evidence_of_hands_fills_gaps_without_confidence():
    first, last = found_pair(), found_pair(shift=8.0)
    hands = [first, None, (None, last[1]), last]
    evidence = build_hand_evidence(hands, np.array([3, 4, 6, 7]), np.arange(3, 8))
    np.testing.assert_array_equal(
        evidence.observed, np.array([[1, 1], [0, 0], [0, 0], [0, 1], [1, 1]], bool)
    )
    confidence = evidence.keypoints[..., 2]
    assert ((confidence > 0).all(axis=-1) == evidence.observed).all()
    assert (confidence[~evidence.observed] == 0).all()
    middle = 0.5 * (first[0].points + last[0].points)
    np.testing.assert_allclose(evidence.keypoints[2, 0, :, :2], middle)
    assert all(np.isfinite(array).all() for array in vars(evidence).values())


def test_a_hand_that_is_never_found_is_no_nan():
    evidence = build_hand_evidence([(None, None), None], np.array([0, 2]), np.arange(3))
    assert not evidence.observed.any() and not evidence.keypoints.any()
    assert (evidence.crops[..., 2] == 1).all()
    assert all(np.isfinite(array).all() for array in vars(evidence).values())


def test_rows_of_hands_are_selected_together():
    evidence = build_hand_evidence([found_pair()] * 3, np.arange(3), np.arange(3))
    chosen = evidence.select(np.array([2, 0]))
    assert isinstance(chosen, HandEvidence) and chosen.keypoints.shape == (2, 2, 21, 3)
    without = replace(evidence, features=None).select(np.array([1]))
    assert without.features is None and without.crops.shape == (1, 2, 4)


@given(angle=st.floats(-3, 3))
@settings(max_examples=10)
def test_landmarks_are_turned_from_the_crop_to_the_camera(angle):
    """The stand-in gives the hand's shape upright in every crop; from afar, rays are parallel."""
    wrist = np.array([SIZE / 2, SIZE / 2])
    network = SceneNetwork([Hand(hand_points(wrist, angle), 0)])
    far = INTRINSICS * np.diag([1e4, 1e4, 1.0]) + INTRINSICS * (1 - np.eye(3))
    person = request([wrist, (-90, -90)], (angle, 0.0))
    ((found, _),) = HandDetector(network).detect(coordinate_image(), [person], far)
    expected = hand_points((0, 0), float(found.crop[3]), length=1.0)
    np.testing.assert_allclose(found.world_landmarks[:, :2], expected, atol=1e-3)
    assert np.cos(found.crop[3] - angle) > 0.9


def test_a_hand_taken_for_the_other_side_is_seen_with_its_depth_reversed():
    """Along the ray landmarks change sides, across it they stay; the right side stays as it is."""
    left, _ = found_pair()
    rng = np.random.default_rng(0)
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    sure = replace(left, landmarks=rng.normal(size=(21, 3)), depth_axis=axis, right=0.1)
    np.testing.assert_array_equal(sure.world_landmarks, sure.landmarks)
    mistaken = replace(sure, right=0.9).world_landmarks
    np.testing.assert_allclose(mistaken @ axis, -(sure.landmarks @ axis), atol=1e-12)
    np.testing.assert_allclose(
        np.cross(mistaken, axis), np.cross(sure.landmarks, axis), atol=1e-12
    )


def hand_images(count):
    """Hands of five ellipses on a gradient: enough like hands to change every output."""
    y, x = np.mgrid[:224, :224]
    image = np.stack([x // 2, 90 + y // 4, 120 + 0 * x], axis=-1)
    figure = ((x - 112) / 38) ** 2 + ((y - 150) / 40) ** 2 <= 1
    for finger in range(4):
        figure |= ((x - 82 - 20 * finger) / 8) ** 2 + ((y - 90) / 45) ** 2 <= 1
    image = np.where(figure[..., None], (210, 160, 130), image)
    return np.stack([np.roll(image, 7 * n, axis=1) for n in range(count)]).astype(np.uint8)


@pytest.mark.weights
@needs_weights
def test_the_hand_network_gives_probabilities_and_takes_any_batch():
    network = HandNetwork.open(FOLDER)
    images = hand_images(3)
    output = network.predict(images)
    for values in (output.presence, output.right):
        assert (values >= 0).all() and (values <= 1).all()
    alone = network.predict(images[1:2])
    np.testing.assert_allclose(alone.keypoints[0], output.keypoints[1], atol=1e-2)
    assert output.features.shape == (3, 192) and np.isfinite(output.features).all()
    assert network.predict(images[:0]).keypoints.shape == (0, 21, 2)


@pytest.mark.weights
@needs_weights
def test_both_engines_agree_with_the_runtime_of_the_hand_network():
    archive = cache_folder() / HANDS.archive
    if not archive.is_file():
        pytest.skip("the package of the network is not in the cache")
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    (recipe,) = (recipe for recipe in RECIPES if recipe.package is HANDS)
    with zipfile.ZipFile(archive) as file:
        (tflite,) = (file.read(member) for member in recipe.members)
    runtime = interpreter.Interpreter(model_content=tflite, num_threads=1)
    runtime.allocate_tensors()
    images = hand_images(1)
    runtime.set_tensor(runtime.get_input_details()[0]["index"], images.astype(np.float32) / 255)
    runtime.invoke()
    expected = [runtime.get_tensor(d["index"]) for d in runtime.get_output_details()]
    points, presence, right, world = expected
    engines = (TorchEngine(load_network(WEIGHTS), "cpu"), open_engine(FOLDER, WEIGHTS.stem, "cpu"))
    for engine in engines:
        output = HandNetwork(engine).predict(images)
        # Pixels of 224: 0.0005 here; other sums may round otherwise.
        assert np.abs(output.keypoints[0] - points.reshape(21, 3)[:, :2]).max() < 5e-3
        assert np.abs(output.world_landmarks[0] - world.reshape(21, 3)).max() < 1e-5
        assert abs(float(output.presence[0] - presence[0, 0])) < 1e-4
        assert abs(float(output.right[0] - right[0, 0])) < 1e-4
