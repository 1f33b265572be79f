"""Ground, contacts and world frame, on a synthetic walker seen by a tilted camera."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hund_backend.motion.contacts import rest_confidence
from hund_backend.motion.ground import estimate_ground, expected_up, floor_level
from hund_backend.motion.performer import clip_floor, main_performer, prominences
from hund_backend.motion.upright import NO_EVIDENCE, UpEvidence
from hund_backend.motion.world import world_from_camera

FPS = 30.0
STRIDE, LIFT, STEP_TIME = 0.7, 0.12, 0.5  # metres, metres, seconds


def walker(seconds=6.0, turn=0.3):
    """Heel and toe points of a person who walks in a curve; z up, ground at zero, metres."""
    times = np.arange(0, seconds, 1 / FPS)
    feet, truth = [], []
    for offset, side in ((0.0, 0.1), (0.5, -0.1)):
        phase = times / STEP_TIME / 2 + offset
        swing = np.clip(2 * (phase % 1) - 1, 0, 1)  # at rest in the first half of a cycle
        forward = STRIDE * (np.floor(phase) + swing * swing * (3 - 2 * swing))
        height = LIFT * np.sin(np.pi * swing) ** 2
        for toe in (0.0, 0.2):
            angle = turn * forward
            x = np.cos(angle) * side + np.cumsum(np.gradient(forward) * np.sin(angle))
            y = np.cumsum(np.gradient(forward) * np.cos(angle)) + toe
            feet.append(np.stack([x, y, height], axis=-1))
            truth.append(swing == 0)
    return np.stack(feet, axis=1), times, np.stack(truth, axis=1)


def camera_from_world(pitch=0.0, roll=0.0, height=1.5, distance=5.0):
    """Rotation and translation of a camera behind the walker's start that looks along y."""
    level = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    tilted = Rotation.from_euler("xz", [pitch, roll]).as_matrix() @ level
    return tilted, tilted @ np.array([0, distance, -height])


def camera_points(points, camera):
    rotation, translation = camera
    return points @ rotation.T + translation


def angle_deg(a, b):
    return np.degrees(np.arccos(np.clip(a @ b, -1, 1)))


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (0.15, 0), (-0.1, 0.05), (0.25, -0.05)])
def test_camera_tilt_is_recovered(pitch, roll):
    feet, times, _ = walker()
    camera = camera_from_world(pitch, roll)
    in_camera = camera_points(feet, camera)
    up = camera[0] @ np.array([0, 0, 1.0])
    upright = UpEvidence(direction=up, std=np.radians(4))
    ground = estimate_ground([in_camera], [rest_confidence(in_camera, times)], [upright], FPS)
    assert angle_deg(ground.up, up) < 2.5
    assert abs(ground.level - (in_camera[:, :, :][feet[..., 2] == 0] @ ground.up).mean()) < 0.03


def test_moving_feet_correct_the_initial_up_direction():
    feet, times, _ = walker()
    camera = camera_from_world(pitch=0.1)
    in_camera = camera_points(feet, camera)
    up = camera[0] @ np.array([0, 0, 1.0])
    rest = rest_confidence(in_camera, times)
    without_feet = estimate_ground([in_camera], [0 * rest], [NO_EVIDENCE], FPS)
    with_feet = estimate_ground([in_camera], [rest], [NO_EVIDENCE], FPS)
    assert angle_deg(with_feet.up, up) < 0.55 * angle_deg(without_feet.up, up)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_small_doubtful_tilt_is_mostly_an_error_and_a_large_one_is_a_tilt(axis, sign):
    def kept(tilt_deg, std_deg):
        angles = np.zeros(2)
        angles[axis] = sign * np.radians(tilt_deg)
        roll, pitch = angles
        up = np.array([np.sin(roll), -np.cos(roll) * np.cos(pitch), np.cos(roll) * np.sin(pitch)])
        found = expected_up(up, np.radians([std_deg, std_deg]))
        assert np.linalg.norm(found) == pytest.approx(1)
        level = np.array([0, -1.0, 0])
        assert angle_deg(found, level) + angle_deg(found, up) == pytest.approx(tilt_deg, abs=1e-4)
        return angle_deg(found, level) / tilt_deg

    assert kept(2, 4) < 0.45
    assert kept(18, 4) > 0.7
    assert kept(2, 0.2) > 0.95
    assert kept(5, 8) < kept(5, 4) < kept(5, 2)


def test_person_on_a_roof_does_not_tilt_the_ground():
    feet, times, _ = walker()
    camera = camera_from_world()
    below = camera_points(feet, camera)
    above = camera_points(feet + np.array([2.0, 3.0, 3.5]), camera)
    rest = rest_confidence(below, times)
    ground = estimate_ground([below, above], [rest, rest], [NO_EVIDENCE] * 2, FPS)
    assert angle_deg(ground.up, np.array([0, -1.0, 0])) < 1
    assert ground.level == pytest.approx(ground.heights[0], abs=0.02)
    assert ground.heights[1] - ground.heights[0] == pytest.approx(3.5, abs=0.1)


@pytest.mark.parametrize("offset", [-1.5, -0.5, -0.2, 0.2, 0.5, 2.0])
def test_floor_is_that_of_the_main_performer(offset):
    feet, times, _ = walker()
    performer = camera_points(feet, camera_from_world())
    bystander = camera_points(feet + np.array([1.0, 6.0, offset]), camera_from_world())
    rest = rest_confidence(performer, times)
    alone = estimate_ground([performer], [rest], [NO_EVIDENCE], FPS)
    first = estimate_ground([performer, bystander], [rest] * 2, [NO_EVIDENCE] * 2, FPS, 0)
    second = estimate_ground([bystander, performer], [rest] * 2, [NO_EVIDENCE] * 2, FPS, 1)
    assert first.level == pytest.approx(alone.level, abs=0.02)
    assert second.level == pytest.approx(first.level, abs=1e-9)


def test_floor_of_a_person_who_jumps_from_a_roof_is_the_lower_one():
    feet, times, _ = walker()
    raised = feet + np.where(times < 4, 3.0, 0.0)[:, None, None] * np.array([0.0, 0, 1])
    in_camera = camera_points(raised, camera_from_world())
    rest = rest_confidence(in_camera, times)
    up = np.array([0.0, -1, 0])
    level = floor_level((in_camera @ up).ravel(), rest.ravel())
    assert level == pytest.approx(-1.5, abs=0.05)


def test_a_short_landing_is_the_floor_and_a_few_points_below_it_are_not():
    heights = np.random.default_rng(0).normal(0, 0.02, 1000)
    roof, landing, astray = heights + 2.0, heights[:80], heights[:20] - 1.5
    weights = np.ones(1100)
    level = floor_level(np.concatenate((roof, landing, astray)), weights)
    assert level == pytest.approx(0, abs=0.05)


def person(size=200.0, presence=1.0, confidence=0.9):
    """Keypoints of a person of some size in px, present in a share of 20 frames."""
    keypoints = np.random.default_rng(0).uniform(0, size, (20, 33, 3))
    keypoints[..., 2] = confidence
    return keypoints, np.arange(20) < 20 * presence


@pytest.mark.parametrize(
    "less", [{"size": 100.0}, {"presence": 0.4}, {"confidence": 0.4}, {"presence": 0.0}]
)
def test_main_performer_is_larger_longer_in_view_and_more_confident(less):
    one, other = person(**less), person()
    assert main_performer(prominences([one[0], other[0]], [one[1], other[1]])) == 1
    assert main_performer(prominences([other[0], one[0]], [other[1], one[1]])) == 0


@pytest.mark.parametrize(
    ("floors", "prominence", "level"),
    [
        ((0.5, 0.0), (10, 9), 0.5),  # an error of depth
        ((2.0, 0.0), (10, 9), 0.0),  # on a roof, beside a walker
        ((2.0, 0.0), (10, 1), 2.0),  # on a terrace; a bystander is below
        ((0.0, 2.0), (10, 9), 0.0),
        ((1.0,), (10,), 1.0),
    ],
)
def test_floor_is_the_lower_one_of_performers_a_storey_apart(floors, prominence, level):
    assert clip_floor(floors, np.array(prominence, float)) == level


def test_resting_feet_are_found_at_any_frame_rate():
    feet, times, truth = walker()
    in_camera = camera_points(feet, camera_from_world())
    found = rest_confidence(in_camera, times)
    inside = np.s_[5:-5]
    assert found[inside][truth[inside]].mean() > 0.85
    assert found[inside][~truth[inside]].mean() < 0.3
    half = rest_confidence(in_camera[::2], times[::2])
    assert np.abs(half - found[::2]).mean() < 0.1


def test_single_frame_is_at_rest():
    feet, times, _ = walker()
    assert (rest_confidence(feet[:1], times[:1]) == 1).all()


@given(
    pitch=st.floats(-1.4, 1.4),
    roll=st.floats(-0.5, 0.5),
    height=st.floats(0.1, 5.0),
)
def test_world_is_a_rigid_frame_with_the_ground_at_zero(pitch, roll, height):
    rotation, translation = camera_from_world(pitch, roll, height)
    up = rotation @ np.array([0, 0, 1.0])
    points = camera_points(
        np.array([[0.0, 0, 0], [1, 2, 0], [-3, 1, 0], [0, 0, 1]]), (rotation, translation)
    )
    upright = UpEvidence(direction=up, std=0.05)
    ground = estimate_ground([points[None, :3]], [np.ones((1, 3))], [upright], FPS)
    ground = type(ground)(up=up, heights=ground.heights, level=float(points[0] @ up))
    transform = world_from_camera(ground, points[3])
    linear = transform[:3, :3]
    np.testing.assert_allclose(linear @ linear.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(linear) == pytest.approx(1)
    world = points @ linear.T + transform[:3, 3]
    np.testing.assert_allclose(world[:3, 2], 0, atol=1e-9)
    np.testing.assert_allclose(world[3], [0, 0, 1], atol=1e-9)  # the origin lies below it
