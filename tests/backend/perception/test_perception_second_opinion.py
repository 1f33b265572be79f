"""Laws of the second opinion on a synthetic scene."""

from dataclasses import replace

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
from hund_backend.perception.crop_detector import CropDetector
from hund_backend.perception.search import QUICK, THOROUGH, search
from hund_backend.perception.second_opinion import COCO_POINTS, second_opinion

CROP = np.array([128.0, 128, 140, 0])
IMAGE = frame_image(0)


def scene_of(*poses):
    return SyntheticScene([lambda number, pose=pose: pose for pose in poses])


def opinion_of(*poses, crop=CROP):
    return second_opinion(
        CocoDetector(IMAGE, SecondNetwork(scene_of(*poses))), crop, THOROUGH.opinion
    )


def detection_of(pose):
    crop = np.array([[*pose.hip, pose.height * 1.25, pose.angle]])
    return CropDetector(IMAGE, scene_of(pose), INTRINSICS)(crop)[0]


@pytest.mark.parametrize("angle", np.linspace(-3, 3, 7))
def test_rotating_the_person_rotates_the_opinion(angle):
    pose = PersonPose((128, 128), 90, angle)
    opinion = opinion_of(pose)
    np.testing.assert_allclose(opinion.keypoints, pose.points[COCO_POINTS], atol=1.0)
    np.testing.assert_allclose(opinion.crop[:2], pose.hip, atol=1.0)
    difference = (opinion.crop[3] - angle + np.pi) % (2 * np.pi) - np.pi
    assert abs(difference) < 0.05


def test_the_opinion_is_the_same_in_a_crop_turned_by_a_quarter():
    pose = PersonPose((128, 128), 90, 0.7)
    opinions = [opinion_of(pose, crop=np.array([*CROP[:3], angle])) for angle in (0, np.pi / 2)]
    np.testing.assert_allclose(opinions[0].keypoints, opinions[1].keypoints, atol=1.0)


def test_support_is_a_share_and_falls_with_the_distance():
    pose = PersonPose((128, 128), 90)
    opinion, detection = opinion_of(pose), detection_of(pose)
    supports = [
        opinion.support(replace(detection, points=detection.points + shift))
        for shift in (0, 3, 10, 40, 500)
    ]
    assert all(0 <= support <= 1 for support in supports)
    assert supports == sorted(supports, reverse=True)
    assert supports[0] > 0.95 and supports[-1] < 0.01


def test_swapped_sides_lose_support():
    pose = PersonPose((128, 128), 90)
    opinion = opinion_of(pose)
    turned = replace(pose, flipped=True)
    assert opinion.support(detection_of(turned)) < opinion.support(detection_of(pose)) - 0.1


def test_a_pose_beside_the_crop_is_of_somebody_else():
    pose = PersonPose((128, 128), 90)
    assert opinion_of(pose).of_same_person
    assert not opinion_of(pose, crop=np.array([180.0, 128, 160, 0])).of_same_person


def test_a_collapsed_pose_gives_a_crop_of_sane_size():
    opinion = opinion_of()  # the stand-in puts all keypoints of nobody into one place
    assert 35 <= opinion.crop[2] <= 560
    assert np.isfinite(opinion.support(detection_of(PersonPose((128, 128), 90))))


class LostNetwork:
    """A landmark network that is sure of a wrong pose unless the crop is nearly upright."""

    def __init__(self, scene, wrong):
        self.scene, self.wrong = scene, SyntheticScene([lambda number: wrong])

    def predict(self, images):
        outputs = [s.predict(images) for s in (self.scene, self.wrong)]
        good = outputs[0].peaks[:, :1] > 0.75
        fields = {
            name: np.where(
                good[..., None] if getattr(outputs[0], name).ndim == 3 else good,
                getattr(outputs[0], name),
                getattr(outputs[1], name),
            )
            for name in ("keypoints", "peaks", "visibility", "presence", "world_landmarks")
        }
        fields["peaks"] = np.where(good, fields["peaks"], 0.55).astype(np.float32)
        return replace(outputs[0], **{n: v.astype(np.float32) for n, v in fields.items()})


@pytest.mark.parametrize("angle", [2.2, 3.1, -2.2])
def test_the_second_network_shows_the_crop_that_the_search_misses(angle):
    truth, wrong = PersonPose((128, 128), 80, angle), PersonPose((128, 128), 80)
    network = LostNetwork(scene_of(truth), wrong)
    detection = search(
        CropDetector(IMAGE, network, INTRINSICS),
        CocoDetector(IMAGE, SecondNetwork(scene_of(truth))),
        CROP[None],
        replace(QUICK, rotation_quality=0.0),
    )
    np.testing.assert_allclose(detection.points, truth.points[:35], atol=1.0)


def test_a_confident_detection_is_the_one_without_the_second_network():
    scene, second = scene_of(PersonPose((128, 128), 110)), SecondNetwork(scene_of())
    detector = CropDetector(IMAGE, scene, INTRINSICS)
    detection = search(detector, CocoDetector(IMAGE, second), CROP[None])
    (expected,) = detector(detector(CROP[None])[0].next_crop[None])
    np.testing.assert_allclose(detection.points, expected.points, atol=0.5)
    assert not second.batch_sizes


def test_the_opinion_changes_the_pose_and_not_whether_it_is_a_person():
    truth, wrong = PersonPose((128, 128), 80, 2.5), PersonPose((128, 128), 80)
    detector = CropDetector(IMAGE, LostNetwork(scene_of(truth), wrong), INTRINSICS)
    seconds = (SecondNetwork(scene_of(truth)), SecondNetwork(scene_of(wrong)))
    right, misled = (
        search(detector, CocoDetector(IMAGE, second), CROP[None]) for second in seconds
    )
    assert right.quality >= misled.quality - 1e-6
    assert misled.quality >= detector(CROP[None])[0].quality
