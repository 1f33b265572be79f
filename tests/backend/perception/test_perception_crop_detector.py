import numpy as np
import pytest
from synthetic_scene import INTRINSICS, Pose, Stage, picture

from hund_backend.perception.crop_detector import Sight
from hund_backend.perception.search import THOROUGH, average, mean, search, starts

NEAR = np.array([[120.0, 140, 90, 0.1]])


def sight_of(pose):
    stage = Stage([lambda number: pose])
    return Sight(picture(0), stage, INTRINSICS)


@pytest.mark.parametrize("turn", [0.0, 0.4, -1.2])
@pytest.mark.parametrize("hip, height", [((120, 140), 80), ((60, 200), 60), ((180, 90), 120)])
def test_a_person_is_seen_where_he_stands_however_he_is_cropped(hip, height, turn):
    pose = Pose(hip, height, turn)
    sight = sight_of(pose)
    crops = np.array(
        [[*hip, height * 1.25, turn], [hip[0] + 9, hip[1] - 5, height * 1.5, turn + 0.3]]
    )
    for sighting in sight(crops):
        np.testing.assert_allclose(sighting.points, pose.points[:35], atol=0.2)
        np.testing.assert_allclose(sighting.wanted_crop, [*hip, height * 1.25, turn], atol=0.5)


def test_a_mirrored_look_says_the_same():
    sight = sight_of(Pose((120, 140), 80, 0.3))
    plain, mirrored = sight(NEAR)[0], sight(NEAR, mirrored=True)[0]
    np.testing.assert_allclose(mirrored.points, plain.points, atol=0.3)
    np.testing.assert_allclose(mirrored.world_landmarks, plain.world_landmarks, atol=0.01)
    np.testing.assert_allclose(mirrored.confidence, plain.confidence, atol=0.02)


@pytest.mark.parametrize("turn", [0.0, 1.0, -2.5])
def test_world_landmarks_turn_with_the_person_and_not_with_the_crop(turn):
    hip = (128, 128)  # on the optical axis, where the picture plane is the camera's
    pose = Pose(hip, 100, turn)
    world = pose.points[:33] - hip
    for crop_turn in (turn, turn + 0.5):
        sighting = sight_of(pose)(np.array([[*hip, 125, crop_turn]]))[0]
        np.testing.assert_allclose(sighting.world_landmarks[:, :2], world / 100, atol=0.02)
        np.testing.assert_allclose(sighting.world_landmarks[:, 2], 0, atol=1e-6)


def test_no_crops_no_sightings():
    assert sight_of(Pose((1, 1), 9))(np.zeros((0, 4))) == []


@pytest.mark.parametrize("turn", np.linspace(-3, 3, 5))
def test_a_search_finds_people_whichever_way_up(turn):
    pose = Pose((130, 120), 90, turn)
    stage = Stage([lambda number: pose])
    crops = starts(stage.find([picture(0)])[0])[0]  # the detector thinks that all stand upright
    sighting = search(Sight(picture(0), stage, INTRINSICS), crops, THOROUGH)
    np.testing.assert_allclose(sighting.points, pose.points[:35], atol=0.3)
    assert sighting.quality > 0.9


def test_a_good_first_look_ends_the_search():
    stage = Stage([lambda number: Pose((130, 120), 90)])
    search(Sight(picture(0), stage, INTRINSICS), np.array([[130.0, 120, 112, 0]]))
    assert sum(stage.looked) == 2  # the look, and once more in the crop that it asks for


def test_the_mean_of_equal_sightings_is_one_of_them():
    sighting = sight_of(Pose((120, 140), 80))(NEAR)[0]
    same = mean([sighting] * 5)
    np.testing.assert_allclose(same.points, sighting.points, atol=1e-9)
    np.testing.assert_allclose(same.world_landmarks, sighting.world_landmarks, atol=1e-9)
    np.testing.assert_allclose(same.confidence, sighting.confidence, atol=1e-9)


def test_the_mean_follows_the_many_and_doubts_where_they_disagree():
    good = sight_of(Pose((120, 140), 80))(NEAR)[0]
    stray = sight_of(Pose((150, 140), 80))(np.array([[150.0, 140, 100, 0]]))[0]
    middle = mean([good, good, good, stray])
    np.testing.assert_allclose(middle.points[:33], good.points[:33], atol=0.5)
    assert (middle.confidence < good.confidence).all()


def test_averaging_keeps_the_person_in_place():
    pose = Pose((110, 120), 90, 0.5)
    sight = sight_of(pose)
    first = sight(np.array([[110.0, 120, 112, 0.5]]))[0]
    np.testing.assert_allclose(average(sight, first).points[:33], pose.points[:33], atol=0.3)
