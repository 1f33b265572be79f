"""Contacts of soles, hands, knees and seat: points, features, network, labels and supports."""

import numpy as np
import pytest
import torch

from hund_backend.body.contact_points import CONTACT_NAMES, MIRRORED_POINTS
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX
from hund_backend.body.soles import SOLE_NAMES
from hund_backend.motion.contact_features import FEATURE_FPS, FootMotion, contact_features
from hund_backend.motion.contact_network import ContactNetwork
from hund_backend.motion.contacts import (
    body_contacts,
    heel_and_toe,
    steadiness,
    with_hysteresis,
)
from hund_backend.motion.levels import contact_levels, near_floor
from hund_backend.training.motion.contact_labels import (
    ContactMotion,
    contact_labels,
    contact_motion,
)
from hund_backend.training.motion.sole_labels import sole_labels
from hund_backend.training.motion.train_contacts import calibration_error, mirrored

UP = np.array([0.0, -1.0, 0.0])
FLIP = np.array([-1.0, 1.0, 1.0])


def walking(fps=FEATURE_FPS, seconds=4.0, lift=0.12):
    """Feet of a person who walks to the camera's right, 5 m away, floor 1.5 m below; truth."""
    times = np.arange(0, seconds, 1 / fps)
    soles, truth = [], []
    for offset, side in ((0.0, 0.1), (0.5, -0.1)):
        phase = times + offset
        swing = np.clip(2 * (phase % 1) - 1, 0, 1)
        x = 1.2 * (np.floor(phase) + swing * swing * (3 - 2 * swing)) - 1.2 * offset - 2
        height = lift * np.sin(np.pi * swing) ** 2
        for ahead in (0.0, 0.17, 0.22):
            soles.append(np.stack([x + ahead, 1.5 - height, np.full_like(x, 5 + side)], axis=-1))
            truth.append(swing == 0)
    pelvis = np.stack([1.2 * times - 1.7, np.full_like(times, 0.6), np.full_like(times, 5.0)], -1)
    # Left is towards +z, up is −y, ahead is +x in the camera frame.
    axes = np.stack([[0.0, 0, 1], [0, -1, 0], [1, 0, 0]], axis=1)
    motion = FootMotion(
        soles=np.stack(soles, axis=1),
        confidence=np.full((len(times), 6), 0.9),
        pelvis=pelvis,
        pelvis_axes=np.repeat(axes[None], len(times), axis=0),
    )
    return motion, times, np.stack(truth, axis=1)


def test_soles_are_symmetric_and_below_everything_else():
    body = BodyModel.load("full")
    pose, betas = torch.eye(3).expand(62, 3, 3), torch.zeros(16)
    posed = body(pose, betas)
    soles = body.soles(posed).numpy()
    assert len(soles) == len(SOLE_NAMES)
    np.testing.assert_allclose(soles[3:], soles[:3] * FLIP, atol=2e-3)
    assert (soles[:, 1] < posed.vertices[:, 1].min().item() + 0.006).all()
    heel, ball, toe = soles[:3, 2]
    assert heel < ball < toe


def test_soles_are_the_same_in_both_resolutions_that_have_them():
    pose, betas = torch.eye(3).expand(62, 3, 3), torch.linspace(-1, 1, 16)
    full, few = BodyModel.load("full"), BodyModel.load("keypoints")
    gap = full.soles(full(pose, betas)) - few.soles(few(pose, betas))
    assert gap.abs().max() < 1e-5


def test_network_finds_the_contacts_of_a_walker():
    motion, times, truth = walking()
    found = ContactNetwork.load().bearing(motion, times, UP)
    inside = np.s_[10:-10]
    assert 0 <= found.min() <= found.max() <= 1
    assert ((found > 0.5) == truth)[inside].mean() > 0.85


def test_contacts_hardly_depend_on_the_frame_rate():
    network = ContactNetwork.load()
    motion, times, _ = walking()
    fine, fine_times, _ = walking(fps=120)
    found = network.bearing(motion, times, UP)
    at_120 = network.bearing(fine, fine_times, UP)[::4]
    assert np.abs(found - at_120).mean() < 0.05


def test_contacts_do_not_depend_on_heading_or_place():
    network = ContactNetwork.load()
    motion, times, _ = walking()
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    there = np.array([0.3, 0.2, 8.0])
    turned = FootMotion(
        soles=motion.soles @ turn.T + there,
        confidence=motion.confidence,
        pelvis=motion.pelvis @ turn.T + there,
        pelvis_axes=turn @ motion.pelvis_axes,
    )
    before, after = (contact_features(each, UP) for each in (motion, turned))
    across = np.s_[36:42]  # speeds across the line of sight do depend on it
    np.testing.assert_allclose(
        np.delete(after, across, axis=1), np.delete(before, across, axis=1), atol=1e-4
    )
    assert (
        np.abs(network.bearing(turned, times, UP) - network.bearing(motion, times, UP)).mean()
        < 0.2
    )


def test_features_of_the_mirrored_motion_are_the_mirrored_features():
    motion, _, _ = walking()
    order = [3, 4, 5, 0, 1, 2]
    other = FootMotion(
        soles=motion.soles[:, order] * FLIP,
        confidence=motion.confidence[:, order],
        pelvis=motion.pelvis * FLIP,
        pelvis_axes=FLIP[:, None] * motion.pelvis_axes * FLIP,
    )
    expected = mirrored(torch.from_numpy(contact_features(motion, UP))).numpy()
    np.testing.assert_allclose(contact_features(other, UP), expected, atol=1e-5)


def test_single_frame_has_contacts():
    motion, times, _ = walking()
    first = FootMotion(**{name: values[:1] for name, values in vars(motion).items()})
    found = ContactNetwork.load().bearing(first, times[:1], UP)
    assert found.shape == (1, 6)
    assert np.isfinite(found).all()


def posed_motion(frames, height=1.0, **turns):
    """A body whose joints are turned about x by angles in degrees, its pelvis at a height."""
    body = BodyModel.load("keypoints")
    rotations = torch.eye(3).repeat(frames, 63, 1, 1)
    for name, angle in turns.items():
        turn = rotvec_to_matrix(torch.tensor([np.radians(angle), 0.0, 0.0]).float())
        for joint in [name] if name == "Pelvis" else [f"{name}L", f"{name}R"]:
            rotations[:, JOINT_INDEX[joint]] = turn
    translation = torch.tensor([0.0, height, 0.0]).expand(frames, 3)
    return contact_motion(body, rotations, translation, torch.zeros(16))


def columns(part):
    return [i for i, name in enumerate(CONTACT_NAMES) if name.endswith(part)]


def test_points_are_symmetric_and_the_seat_is_lowest_in_sitting():
    motion = posed_motion(1, Pelvis=0, Thigh=-90, Calf=90)
    points = motion.points[0]
    np.testing.assert_allclose(points[MIRRORED_POINTS] * FLIP, points, atol=5e-3)
    hips = motion.joints[0, [JOINT_INDEX["ThighL"], JOINT_INDEX["ThighR"]], 1]
    seats = points[columns("seat"), 1]
    assert (seats < hips - 0.05).all()


def test_labels_match_a_walker_and_do_not_need_a_level_floor():
    motion, _, truth = walking()
    world = motion.soles * (1, -1, 1)
    # Hands, knees and seat move with the pelvis.
    others = np.repeat((motion.pelvis * (1, -1, 1))[:, None], 6, axis=1)
    joints = np.repeat(others[:, :1], 63, axis=1)
    climb = np.linspace(0, 0.3, len(world))[:, None, None] * (0, 1, 0)
    inside = np.s_[3:-3]
    for rise in (0 * climb, climb):
        points = np.concatenate((world, others), axis=1) + rise
        labels = contact_labels(ContactMotion(points, joints + rise), FEATURE_FPS)
        assert (labels.contacts[:, :6] == truth)[inside].mean() > 0.9
        assert not labels.contacts[:, 6:].any()
        of_soles = sole_labels(world + rise, FEATURE_FPS)
        np.testing.assert_array_equal(labels.contacts[:, :6], of_soles)


def test_seat_bears_who_sits_and_not_who_stands_or_squats():
    sitting = contact_labels(posed_motion(30, Thigh=-90, Calf=90), 30.0).contacts
    standing = contact_labels(posed_motion(30), 30.0).contacts
    squatting = contact_labels(
        posed_motion(30, Pelvis=55, Thigh=-130, Calf=110, Ankle=-35), 30.0
    ).contacts
    assert sitting[:, columns("seat")].all()
    assert not standing[:, columns("seat")].any()
    assert not squatting[:, columns("seat")].any()


def test_nobody_hangs_in_the_air_and_who_jumps_does():
    """Feet that slide bear a person who does not fall; one who falls has no contact."""
    still = posed_motion(40)
    seconds = np.arange(40)[:, None, None] / 30
    sliding = still._replace(
        points=still.points + seconds * (0.35, 0, 0), joints=still.joints + seconds * (0.35, 0, 0)
    )
    skating = still._replace(
        points=still.points + seconds * (2.0, 0, 0), joints=still.joints + seconds * (2.0, 0, 0)
    )
    rise = 4.9 * seconds * (1.3 - seconds) * (0, 1, 0)
    jumping = still._replace(points=still.points + rise, joints=still.joints + rise)
    slid, skated, jumped = (contact_labels(each, 30.0) for each in (sliding, skating, jumping))
    assert slid.contacts[:, :6].any(axis=1).all()
    assert not skated.known[3:-3].any()
    assert jumped.known[5:-5].all()
    assert not jumped.contacts[5:-5].any()


def test_contact_begins_high_and_ends_low():
    probability = np.array([0.1, 0.5, 0.7, 0.4, 0.55, 0.3, 0.55, 0.5, 0.2])[:, None]
    found = with_hysteresis(probability)[:, 0]
    assert (found > 0.5).tolist() == [False, True, True, True, True, False, False, False, False]
    sure = np.array([[0.05], [0.95], [0.02]])
    np.testing.assert_array_equal(with_hysteresis(sure), sure)


@pytest.mark.parametrize("motion", ["ride", "bounce"])
def test_points_on_moving_or_soft_supports_are_not_held(motion):
    seconds = np.arange(90) / 30
    aside = 0.2 * seconds if motion == "ride" else 0 * seconds
    down = 0.12 * np.sin(2 * np.pi * seconds) if motion == "bounce" else 0 * seconds
    moving = np.stack((aside, 1.5 + down, np.full_like(seconds, 5)), axis=-1)[:, None]
    still = np.tile([0.3, 1.5, 5.0], (90, 1))[:, None]
    bearing = np.full((90, 1), 0.9)
    assert steadiness(moving, bearing, 30.0).max() < 0.3
    assert steadiness(still, bearing, 30.0).min() > 0.99
    away = still + np.linspace(0, 0.3, 90)[:, None, None] * still / 5.2  # an error of depth
    assert steadiness(away, bearing, 30.0).min() > 0.9


@pytest.mark.parametrize("fps", [24.0, 120.0])
def test_a_point_that_rests_in_two_places_is_held_in_both(fps):
    """One run of contact in which a foot moves on: only the way between is not held."""
    seconds = np.arange(0, 5, 1 / fps)
    aside = 0.5 * np.clip((seconds - 2.3) / 0.4, 0, 1)
    places = np.stack((aside, 1.5 + 0 * seconds, 5 + 0 * seconds), axis=-1)[:, None]
    found = steadiness(places, np.full((len(seconds), 1), 0.9), fps)[:, 0]
    assert found[(seconds < 1.5) | (seconds > 3.5)].min() > 0.99
    assert found[np.abs(seconds - 2.5) < 0.2].max() < 0.1


def test_levels_are_those_of_steps_and_the_floor_is_none():
    heights, bearing = np.zeros((40, 12)), np.zeros((40, 12))
    left, right, seat = slice(0, 3), slice(3, 6), [8, 11]
    noise = np.random.default_rng(0).normal(0, 0.01, (40, 12))
    for frames, group, height in (
        (slice(0, 12), left, 0.0),
        (slice(8, 24), right, 0.17),
        (slice(20, 40), left, 0.34),
        (slice(30, 40), right, 0.35),
        (slice(25, 40), seat, 0.8),
    ):
        heights[frames, group], bearing[frames, group] = height, 1
    on_level, levels = contact_levels(heights + noise, bearing)
    assert on_level[:12, left].max() < 0.05
    assert on_level[10:20, right].min() > 0.8
    np.testing.assert_allclose(levels[10:20, right], 0.17, atol=0.01)
    assert levels[35, 0] == levels[35, 3]  # one landing for both feet
    np.testing.assert_allclose(levels[26:, seat], 0.8, atol=0.01)
    np.testing.assert_array_equal(near_floor(np.zeros(2)), 1)


def test_columns_of_body_contacts():
    contacts = np.zeros((1, 12))
    for name, value in (("left_hand", 0.1), ("right_knee", 0.4), ("right_seat", 0.7)):
        contacts[0, CONTACT_NAMES.index(name)] = value
    np.testing.assert_array_equal(body_contacts(contacts), [[0.1, 0, 0, 0.4, 0.7]])


def test_a_foot_stands_on_its_toes_while_ball_or_toes_bear():
    contacts = np.array([[0.1, 0.9, 0.2, 0.8, 0.0, 0.3]])
    np.testing.assert_array_equal(heel_and_toe(contacts), [[0.1, 0.9, 0.8, 0.3]])


def test_calibration_error_vanishes_where_probabilities_are_frequencies():
    truth = np.arange(100) < 30
    assert calibration_error(np.full(100, 0.3), truth) < 1e-9
    assert calibration_error(np.full(100, 0.9), truth) > 0.5
