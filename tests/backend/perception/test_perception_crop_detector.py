"""Laws of the crop detector, of the search for the best crop, and of averaging."""

import numpy as np
import pytest
from synthetic_scene import (
    INTRINSICS,
    PersonPose,
    SecondNetwork,
    SyntheticScene,
    frame_image,
)

from hund_backend.perception.coco_detector import CocoDetector
from hund_backend.perception.crop_detector import CropDetector, quality_inside
from hund_backend.perception.painting import paint_over_person
from hund_backend.perception.search import (
    THOROUGH,
    average_over_crops,
    initial_crops,
    robust_mean,
    search,
)

NEAR = np.array([[120.0, 140, 90, 0.1]])


def detector_of(pose):
    scene = SyntheticScene([lambda number: pose])
    return CropDetector(frame_image(0), scene, INTRINSICS)


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2])
@pytest.mark.parametrize("hip, height", [((120, 140), 80), ((60, 200), 60), ((180, 90), 120)])
def test_keypoints_in_the_frame_do_not_depend_on_the_crop(hip, height, angle):
    pose = PersonPose(hip, height, angle)
    detector = detector_of(pose)
    crops = np.array(
        [[*hip, height * 1.25, angle], [hip[0] + 9, hip[1] - 5, height * 1.5, angle + 0.3]]
    )
    for detection in detector(crops):
        np.testing.assert_allclose(detection.points, pose.points[:35], atol=0.2)
        np.testing.assert_allclose(detection.next_crop, [*hip, height * 1.25, angle], atol=0.5)


def test_a_mirrored_crop_gives_the_same_detection():
    detector = detector_of(PersonPose((120, 140), 80, 0.3))
    plain, mirrored = detector(NEAR)[0], detector(NEAR, mirrored=True)[0]
    np.testing.assert_allclose(mirrored.points, plain.points, atol=0.3)
    np.testing.assert_allclose(mirrored.world_landmarks, plain.world_landmarks, atol=0.01)
    np.testing.assert_allclose(mirrored.confidence, plain.confidence, atol=0.02)


@pytest.mark.parametrize("angle", [0.0, 1.0, -2.5])
def test_world_landmarks_rotate_with_the_person_and_not_with_the_crop(angle):
    hip = (128, 128)  # on the optical axis, where the image plane is the camera's
    pose = PersonPose(hip, 100, angle)
    world = pose.points[:33] - hip
    for crop_angle in (angle, angle + 0.5):
        detection = detector_of(pose)(np.array([[*hip, 125, crop_angle]]))[0]
        np.testing.assert_allclose(detection.world_landmarks[:, :2], world / 100, atol=0.02)
        np.testing.assert_allclose(detection.world_landmarks[:, 2], 0, atol=1e-6)


def test_no_crops_give_no_detections():
    assert detector_of(PersonPose((1, 1), 9))(np.zeros((0, 4))) == []


@pytest.mark.parametrize("angle", np.linspace(-3, 3, 5))
def test_the_search_finds_people_at_any_angle(angle):
    pose = PersonPose((130, 120), 90, angle)
    scene = SyntheticScene([lambda number: pose])
    people = scene.detect([frame_image(0)])[0]  # the stand-in takes everybody as upright
    crops = initial_crops(people)[0]
    second = CocoDetector(frame_image(0), SecondNetwork(scene))
    detection = search(CropDetector(frame_image(0), scene, INTRINSICS), second, crops, THOROUGH)
    np.testing.assert_allclose(detection.points, pose.points[:35], atol=0.3)
    assert detection.quality > 0.9


def test_a_good_first_detection_ends_the_search():
    scene = SyntheticScene([lambda number: PersonPose((130, 120), 90)])
    second = SecondNetwork(scene)
    search(
        CropDetector(frame_image(0), scene, INTRINSICS),
        CocoDetector(frame_image(0), second),
        np.array([[130.0, 120, 112, 0]]),
    )
    assert sum(scene.batch_sizes) == 2  # the detection, and once more in its next crop
    assert not second.batch_sizes


def test_the_mean_of_equal_detections_is_one_of_them():
    detection = detector_of(PersonPose((120, 140), 80))(NEAR)[0]
    same = robust_mean([detection] * 5)
    np.testing.assert_allclose(same.points, detection.points, atol=1e-9)
    np.testing.assert_allclose(same.world_landmarks, detection.world_landmarks, atol=1e-9)
    np.testing.assert_allclose(same.confidence, detection.confidence, atol=1e-9)


def test_the_mean_follows_the_majority_with_less_confidence():
    good = detector_of(PersonPose((120, 140), 80))(NEAR)[0]
    outlier = detector_of(PersonPose((150, 140), 80))(np.array([[150.0, 140, 100, 0]]))[0]
    middle = robust_mean([good, good, good, outlier])
    np.testing.assert_allclose(middle.points[:33], good.points[:33], atol=0.5)
    assert (middle.confidence < good.confidence).all()


def test_averaging_keeps_the_person_in_place():
    pose = PersonPose((110, 120), 90, 0.5)
    detector = detector_of(pose)
    first = detector(np.array([[110.0, 120, 112, 0.5]]))[0]
    np.testing.assert_allclose(
        average_over_crops(detector, first).points[:33], pose.points[:33], atol=0.3
    )


def test_what_the_frame_cuts_off_does_not_speak_against_a_person():
    points, peaks = np.full((2, 35, 2), 50.0), np.full((2, 35), 0.9)
    legs = [23, 24, 25, 26, 27, 28]
    points[0, legs, 1] = 150  # below the frame
    peaks[:, legs] = 0.1
    cut_off, hidden = quality_inside(points, peaks, (100, 100))
    assert cut_off == pytest.approx(0.9)
    assert hidden == pytest.approx(0.5)


def test_a_few_joints_inside_the_frame_are_nobody():
    points, peaks = np.full((1, 35, 2), 150.0), np.full((1, 35), 0.9)
    points[0, [11, 13]] = 50
    assert quality_inside(points, peaks, (100, 100)) < 0.42


def test_painting_over_a_person_leaves_the_rest_and_takes_the_colors_around():
    rng = np.random.default_rng(0)
    image = np.full((256, 256, 3), (40, 120, 200), np.uint8)
    image[96:160, 96:160] = rng.integers(0, 255, (64, 64, 3))
    mask = np.zeros((64, 64), np.uint8)
    mask[24:40, 24:40] = 255
    crop = np.array([500.0, 300, 400, 0.3])
    painted = paint_over_person(image, crop, mask, crop)
    outside = np.ones((256, 256), bool)
    outside[88:168, 88:168] = False
    np.testing.assert_array_equal(painted[outside], image[outside])
    assert np.abs(painted.astype(int) - (40, 120, 200)).max() <= 2


def test_a_person_is_painted_over_where_their_own_crop_lies():
    image = np.full((256, 256, 3), 90, np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[28:36, 28:36] = 255  # the middle of the person's crop
    crop, own = np.array([100.0, 100, 200, 0.0]), np.array([150.0, 100, 100, 0.0])
    image[124:133, 188:197] = 250  # the same place, in the other crop
    assert paint_over_person(image, crop, mask, own).max() == 90


def test_nobody_is_painted_over_who_is_not_in_the_crop():
    image = np.random.default_rng(0).integers(0, 255, (256, 256, 3)).astype(np.uint8)
    mask = np.full((64, 64), 255, np.uint8)
    far = np.array([1000.0, 100, 100, 0.0])
    painted = paint_over_person(image, np.array([100.0, 100, 200, 0]), mask, far)
    np.testing.assert_array_equal(painted, image)
