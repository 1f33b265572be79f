"""Laws of tracks: assignment, crop filter, flips, linking and interpolation."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_scene import INTRINSICS, PersonPose, SyntheticScene, frame_image

from hund_backend.perception.crop_detector import CropDetector
from hund_backend.perception.flips import FlipConfig, correct_flips
from hund_backend.perception.linking import (
    LinkConfig,
    build_evidence,
    drop_short_runs,
    link_people,
    link_tracklets,
)
from hund_backend.perception.tracklets import TRUNK, drop_ends_without_trunk
from hund_backend.perception.tracks import (
    CropFilter,
    CropFilterConfig,
    MatchConfig,
    Track,
    match_detections,
    unique_people,
)

FILTER, MATCH = CropFilterConfig(), MatchConfig()


def detection_of(pose, number=0):
    scene = SyntheticScene([lambda frame: pose])
    crop = np.array([[*pose.hip, pose.height * 1.25, pose.angle]])
    return CropDetector(frame_image(number), scene, INTRINSICS)(crop)[0]


def tracklet(hips, flipped=()):
    """Detections by frame of a person with given places of the hip."""
    return {
        frame: detection_of(PersonPose(hip, 60, flipped=frame in flipped), frame)
        for frame, hip in hips.items()
    }


def line(frames, start=60.0, speed=2.0, y=128.0):
    return {frame: (start + speed * frame, y) for frame in frames}


@given(st.permutations(range(4)), st.permutations(range(4)))
def test_matching_does_not_depend_on_the_order(tracks_order, detections_order):
    hips = [(50, 60), (80, 70), (140, 160), (200, 100)]
    moved = [(x + 4, y - 3) for x, y in hips]
    tracks = [TRACKS[hips[i]] for i in tracks_order]
    detections = [MOVED[moved[i]] for i in detections_order]
    pairs = match_detections(tracks, detections, MATCH)
    assert {(tracks_order[row], detections_order[column]) for row, column in pairs} == {
        (i, i) for i in range(4)
    }


TRACKS = {
    hip: Track.begin(0, detection_of(PersonPose(hip, 60)), FILTER)
    for hip in [(50, 60), (80, 70), (140, 160), (200, 100)]
}
MOVED = {(x + 4, y - 3): detection_of(PersonPose((x + 4, y - 3), 60)) for x, y in TRACKS}


def test_a_detection_far_away_continues_no_track():
    track = Track.begin(0, detection_of(PersonPose((50, 60), 50)), FILTER)
    assert match_detections([track], [detection_of(PersonPose((200, 200), 50))], MATCH) == []
    assert match_detections([], [], MATCH) == []


def test_of_several_detections_of_one_person_the_best_is_kept():
    pose = PersonPose((100, 100), 80)
    scene = SyntheticScene([lambda frame: pose])
    crops = np.array([[112.0, 100, 120, 0], [100, 100, 100, 0], [90, 95, 80, 0]])
    detections = CropDetector(frame_image(0), scene, INTRINSICS)(crops)
    assert unique_people(detections, MATCH) == [1]
    others = [*detections, detection_of(PersonPose((180, 100), 80))]
    assert unique_people(others, MATCH) == [1, 3]


def test_the_crop_filter_damps_noise():
    crops = CropFilter(np.array([100.0, 100, 80, 0]), FILTER)
    noise = np.random.default_rng(0).normal(0, 1, (200, 4)) * (0.8, 0.8, 1.6, 0.03)
    followed = []
    for jitter in noise:
        crops.predict()
        followed.append(crops.crop)
        crops.update(np.array([100.0, 100, 80, 0]) + jitter)
    ratio = np.diff(followed[20:], axis=0).std(axis=0) / np.diff(noise, axis=0).std(axis=0)
    assert (ratio < (0.9, 0.9, 0.35, 0.35)).all()


@pytest.mark.parametrize("speed", [1.0, 8.0, 30.0])
def test_the_crop_filter_keeps_up_with_constant_velocity(speed):
    crops = CropFilter(np.array([0.0, 0, 100, 0]), FILTER)
    lags = []
    for frame in range(1, 40):
        crops.predict()
        lags.append(np.linalg.norm(crops.crop[:2] - (speed * frame, 0)))
        crops.update(np.array([speed * frame, 0, 100.0, 0]))
    assert lags[-1] < 0.1
    assert max(lags[4:]) < 12  # of a side of 100: the network still sees the whole person


def test_the_crop_filter_rotates_the_short_way():
    crops = CropFilter(np.array([0.0, 0, 100, 3.1]), FILTER)
    for _ in range(60):
        crops.update(np.array([0.0, 0, 100, -3.1]))
    assert crops.crop[3] == pytest.approx(2 * np.pi - 3.1, abs=1e-3)


@pytest.mark.parametrize("flipped", [range(8, 14), range(4), range(16, 20)])
def test_flipped_frames_are_corrected(flipped):
    truth = list(tracklet(line(range(20))).values())
    wrong = list(tracklet(line(range(20)), flipped=flipped).values())
    for right, repaired, index in zip(
        truth, correct_flips(wrong, FlipConfig()), range(20), strict=True
    ):
        np.testing.assert_allclose(repaired.points, right.points, atol=0.3)
        np.testing.assert_allclose(repaired.world_landmarks, right.world_landmarks, atol=0.02)
        lower = repaired.confidence[11:] < right.confidence[11:] - 0.1
        assert lower.all() == (index in flipped)


def test_a_fast_arm_keeps_its_side_while_the_other_is_hardly_seen():
    """Frames in which sides are swapped are corrected, not those after them made to agree."""
    left, right, flipped = np.arange(11, 23, 2), np.arange(12, 23, 2), range(9, 11)
    wrong, paths = [], []
    for index, detection in enumerate(tracklet(line(range(18))).values()):
        side = detection.crop[2]
        points, confidence = detection.points.copy(), detection.confidence.copy()
        # One arm swings along an arc and stops near the other.
        angle = np.clip(0.35 * (index - 5), 0, 2.4)
        points[right] = detection.crop[:2] + 0.3 * side * np.array([-np.cos(angle), np.sin(angle)])
        points[left] = detection.crop[:2] + side * np.array([0.15, 0.2])
        confidence[left], confidence[right] = 0.1, 0.8
        paths.append(points[right].copy())
        if index in flipped:
            points[left], points[right] = points[right].copy(), points[left].copy()
            confidence[left], confidence[right] = 0.6, 0.1
        wrong.append(dataclasses.replace(detection, points=points, confidence=confidence))
    for repaired, path in zip(correct_flips(wrong, FlipConfig()), paths, strict=True):
        np.testing.assert_allclose(repaired.points[right], path)


def test_a_track_without_flips_is_unchanged():
    detections = list(tracklet(line(range(12))).values())
    for before, after in zip(detections, correct_flips(detections, FlipConfig()), strict=True):
        assert before is after


def test_tracklets_on_one_path_are_linked_and_others_are_not():
    tracklets = [
        tracklet(line(range(10))),
        tracklet(line(range(18, 30))),
        tracklet(line(range(30), y=60)),
        tracklet(line(range(12, 30), y=220)),
    ]
    tracks = link_tracklets(tracklets, 30.0, LinkConfig())
    assert sorted(sorted(track) for track in tracks) == sorted(
        [[*range(10), *range(18, 30)], [*range(30)], [*range(12, 30)]]
    )


def test_detections_that_stand_alone_are_no_presence():
    single = tracklet(line([*range(10), 20, 30, 31, 33, 45, 46]))
    assert list(drop_short_runs(single, 3)) == [*range(10), 30, 31, 33]
    assert list(drop_short_runs(tracklet(line([3])), 1)) == [3]


def test_a_person_is_seen_while_their_trunk_is():
    person = tracklet(line([*range(10), *range(30, 40)]))
    for frame in (0, 1, 4, 30, 38, 39):
        person[frame].confidence[TRUNK] = 0.1
    kept = [*range(2, 10), *range(31, 38)]  # within a run nothing is dropped
    assert list(drop_ends_without_trunk(person, 3)) == kept
    for detection in person.values():
        detection.confidence[TRUNK] = 0.1  # a close-up
    assert drop_ends_without_trunk(person, 3) == person


def test_a_last_detection_of_somebody_else_does_not_part_a_person():
    first, second = tracklet(line(range(10))), tracklet(line(range(18, 30)))
    first |= tracklet(line([24], start=90))
    (evidence,) = link_people(
        [first, second], INTRINSICS, fps=30.0, num_frames=30, max_people=None, config=LinkConfig()
    )
    assert len(evidence.frames) == 30


def test_gaps_are_interpolated_linearly_and_marked():
    person = tracklet(line([3, 4, 8, 9]))
    evidence = build_evidence(person, INTRINSICS, track_id=7)
    assert evidence.track_id == 7
    np.testing.assert_array_equal(evidence.frames, np.arange(3, 10))
    np.testing.assert_array_equal(np.flatnonzero(~evidence.observed), [2, 3, 4])
    for index, frame in enumerate(range(3, 10)):
        expected = PersonPose((60 + 2 * frame, 128), 60).points[:33]
        np.testing.assert_allclose(evidence.keypoints[index, :, :2], expected, atol=0.3)
    assert (evidence.keypoints[2:5, :, 2] == 0).all()
    assert (evidence.keypoints[[0, 1, 5, 6], :, 2] > 0.5).all()


def test_a_duplicate_tracklet_is_merged():
    def degrade(detection):
        worse = detection.points + np.random.default_rng(1).normal(0, 3, (35, 2))
        return type(detection)(**{**vars(detection), "points": worse, "quality": 0.5})

    real = tracklet(line(range(30)))
    duplicate = {frame: degrade(real[frame]) for frame in range(10, 30)}
    (evidence,) = link_people(
        [duplicate, real],
        INTRINSICS,
        fps=30.0,
        num_frames=30,
        max_people=None,
        config=LinkConfig(),
    )
    assert len(evidence.frames) == 30 and evidence.observed.all()
