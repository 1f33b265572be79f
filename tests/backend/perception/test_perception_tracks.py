import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_scene import INTRINSICS, Pose, Stage, picture

from hund_backend.perception.crop_detector import Sight
from hund_backend.perception.flips import FlipConfig, unflip
from hund_backend.perception.linking import LinkConfig, bridge, gather, link
from hund_backend.perception.tracks import CropFilter, FollowConfig, Track, distinct, match

CONFIG = FollowConfig()


def sighting_of(pose, number=0):
    stage = Stage([lambda frame: pose])
    crop = np.array([[*pose.hip, pose.height * 1.25, pose.turn]])
    return Sight(picture(number), stage, INTRINSICS)(crop)[0]


def person(places, mirrored=()):
    """Sightings by frame of somebody whose hip is where `places` says."""
    return {
        frame: sighting_of(Pose(hip, 60, mirrored=frame in mirrored), frame)
        for frame, hip in places.items()
    }


def line(frames, start=60.0, speed=2.0, y=128.0):
    return {frame: (start + speed * frame, y) for frame in frames}


@given(st.permutations(range(4)), st.permutations(range(4)))
def test_who_is_whom_does_not_depend_on_the_order(tracks_order, sightings_order):
    hips = [(50, 60), (80, 70), (140, 160), (200, 100)]
    moved = [(x + 4, y - 3) for x, y in hips]
    tracks = [TRACKS[hips[i]] for i in tracks_order]
    sightings = [MOVED[moved[i]] for i in sightings_order]
    pairs = match(tracks, sightings, CONFIG)
    assert {(tracks_order[row], sightings_order[column]) for row, column in pairs} == {
        (i, i) for i in range(4)
    }


TRACKS = {
    hip: Track.begin(0, sighting_of(Pose(hip, 60)), CONFIG)
    for hip in [(50, 60), (80, 70), (140, 160), (200, 100)]
}
MOVED = {(x + 4, y - 3): sighting_of(Pose((x + 4, y - 3), 60)) for x, y in TRACKS}


def test_a_sighting_far_away_continues_no_track():
    track = Track.begin(0, sighting_of(Pose((50, 60), 50)), CONFIG)
    assert match([track], [sighting_of(Pose((200, 200), 50))], CONFIG) == []
    assert match([], [], CONFIG) == []


def test_of_two_sightings_of_one_person_the_better_stays():
    pose = Pose((100, 100), 80)
    stage = Stage([lambda frame: pose])
    crops = np.array([[112.0, 100, 120, 0], [100, 100, 100, 0], [90, 95, 80, 0]])
    sightings = Sight(picture(0), stage, INTRINSICS)(crops)
    assert distinct(sightings, CONFIG) == [1]
    others = [*sightings, sighting_of(Pose((180, 100), 80))]
    assert distinct(others, CONFIG) == [1, 3]


def test_a_still_person_gets_a_still_crop():
    crops = CropFilter(np.array([100.0, 100, 80, 0]), CONFIG)
    noise = np.random.default_rng(0).normal(0, 1, (200, 4)) * (0.8, 0.8, 1.6, 0.03)
    followed = []
    for jitter in noise:
        crops.step()
        followed.append(crops.crop)
        crops.correct(np.array([100.0, 100, 80, 0]) + jitter)
    unrest = np.diff(followed[20:], axis=0).std(axis=0) / np.diff(noise, axis=0).std(axis=0)
    assert (unrest < (0.9, 0.9, 0.35, 0.35)).all()


@pytest.mark.parametrize("speed", [1.0, 8.0, 30.0])
def test_a_crop_keeps_up_with_an_even_speed(speed):
    crops = CropFilter(np.array([0.0, 0, 100, 0]), CONFIG)
    lags = []
    for frame in range(1, 40):
        crops.step()
        lags.append(np.linalg.norm(crops.crop[:2] - (speed * frame, 0)))
        crops.correct(np.array([speed * frame, 0, 100.0, 0]))
    assert lags[-1] < 0.1
    assert max(lags[4:]) < 12  # of a side of 100: the network still sees the whole person


def test_a_crop_turns_the_short_way():
    crops = CropFilter(np.array([0.0, 0, 100, 3.1]), CONFIG)
    for _ in range(60):
        crops.correct(np.array([0.0, 0, 100, -3.1]))
    assert crops.crop[3] == pytest.approx(2 * np.pi - 3.1, abs=1e-3)


@pytest.mark.parametrize("flipped", [range(8, 14), range(4), range(16, 20)])
def test_frames_with_left_and_right_exchanged_are_turned_back(flipped):
    truth = list(person(line(range(20))).values())
    wrong = list(person(line(range(20)), mirrored=flipped).values())
    for right, repaired, index in zip(truth, unflip(wrong, FlipConfig()), range(20), strict=True):
        np.testing.assert_allclose(repaired.points, right.points, atol=0.3)
        np.testing.assert_allclose(repaired.world_landmarks, right.world_landmarks, atol=0.02)
        lower = repaired.confidence[11:] < right.confidence[11:] - 0.1
        assert lower.all() == (index in flipped)


def test_a_track_without_flips_is_left_alone():
    sightings = list(person(line(range(12))).values())
    for before, after in zip(sightings, unflip(sightings, FlipConfig()), strict=True):
        assert before is after


def test_pieces_of_one_way_are_linked_and_others_are_not():
    pieces = [
        person(line(range(10))),
        person(line(range(18, 30))),
        person(line(range(30), y=60)),
        person(line(range(12, 30), y=220)),
    ]
    chains = link(pieces, 30.0, LinkConfig())
    assert sorted(sorted(chain) for chain in chains) == sorted(
        [[*range(10), *range(18, 30)], [*range(30)], [*range(12, 30)]]
    )


def test_a_bridge_is_linear_and_marked():
    seen = person(line([3, 4, 8, 9]))
    evidence = bridge(seen, INTRINSICS, track_id=7)
    assert evidence.track_id == 7
    np.testing.assert_array_equal(evidence.frames, np.arange(3, 10))
    np.testing.assert_array_equal(np.flatnonzero(~evidence.observed), [2, 3, 4])
    for index, frame in enumerate(range(3, 10)):
        expected = Pose((60 + 2 * frame, 128), 60).points[:33]
        np.testing.assert_allclose(evidence.keypoints[index, :, :2], expected, atol=0.3)
    assert (evidence.keypoints[2:5, :, 2] == 0).all()
    assert (evidence.keypoints[[0, 1, 5, 6], :, 2] > 0.5).all()


def test_a_piece_that_shadows_somebody_is_dropped():
    def blurred(sighting):
        worse = sighting.points + np.random.default_rng(1).normal(0, 3, (35, 2))
        return type(sighting)(**{**vars(sighting), "points": worse, "quality": 0.5})

    real = person(line(range(30)))
    shadow = {frame: blurred(real[frame]) for frame in range(10, 30)}
    (evidence,) = gather(
        [shadow, real],
        INTRINSICS,
        fps=30.0,
        num_frames=30,
        max_people=None,
        config=LinkConfig(),
    )
    assert len(evidence.frames) == 30 and evidence.observed.all()
