"""Contacts of soles, hands, knees and seat: points, features, network, labels and supports."""

import numpy as np
import pytest
import torch

from hund_backend.body.contact_points import CONTACT_NAMES, MIRRORED_POINTS
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX
from hund_backend.body.soles import SOLE_NAMES
from hund_backend.motion.contact_features import (
    ACROSS,
    FEATURE_FPS,
    PointMotion,
    contact_features,
)
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
from hund_backend.training.motion.train_contacts import (
    calibration_error,
    platt_scaling,
)

UP = np.array([0.0, -1.0, 0.0])
FLIP = np.array([-1.0, 1.0, 1.0])


def walking(fps=FEATURE_FPS, seconds=4.0, lift=0.12):
    """A person who walks to the camera's right, 5 m away, floor 1.5 m below; truth of the soles."""
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
    # Hands, knees and seats move with the pelvis: x ahead, y down, z to the left.
    others = [
        pelvis + np.array([ahead, down, side * aside])
        for side in (1, -1)
        for ahead, down, aside in ((0.05, 0.1, 0.3), (0.1, 0.45, 0.1), (-0.08, 0.1, 0.1))
    ]
    motion = PointMotion(
        points=np.stack(soles + others, axis=1),
        confidence=np.full((len(times), 12), 0.9),
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
    assert ((found[:, :6] > 0.5) == truth)[inside].mean() > 0.85
    assert found[inside, 6:].max() < 0.5  # neither hands nor knees nor the seat


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
    turned = PointMotion(
        points=motion.points @ turn.T + there,
        confidence=motion.confidence,
        pelvis=motion.pelvis @ turn.T + there,
        pelvis_axes=turn @ motion.pelvis_axes,
    )
    before, after = (contact_features(each, UP) for each in (motion, turned))
    # Speeds across the line of sight do depend on it.
    np.testing.assert_allclose(
        np.delete(after, ACROSS, axis=1), np.delete(before, ACROSS, axis=1), atol=1e-4
    )
    assert (
        np.abs(network.bearing(turned, times, UP) - network.bearing(motion, times, UP)).mean()
        < 0.2
    )


def test_contacts_of_the_mirrored_motion_are_the_mirrored_contacts():
    motion, times, _ = walking()
    other = PointMotion(
        points=motion.points[:, MIRRORED_POINTS] * FLIP,
        confidence=motion.confidence[:, MIRRORED_POINTS],
        pelvis=motion.pelvis * FLIP,
        pelvis_axes=FLIP[:, None] * motion.pelvis_axes * FLIP,
    )
    network = ContactNetwork.load()
    found, mirrored = (network.bearing(each, times, UP) for each in (motion, other))
    np.testing.assert_allclose(mirrored[:, MIRRORED_POINTS], found, atol=1e-3)


def test_single_frame_has_contacts():
    motion, times, _ = walking()
    first = PointMotion(**{name: values[:1] for name, values in vars(motion).items()})
    found = ContactNetwork.load().bearing(first, times[:1], UP)
    assert found.shape == (1, 12)
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
    world = motion.points * (1, -1, 1)
    joints = np.repeat(motion.pelvis[:, None] * (1, -1, 1), 63, axis=1)
    climbing = world + np.linspace(0, 0.3, len(world))[:, None, None] * (0, 1, 0)
    inside = np.s_[3:-3]
    for points in (world, climbing):
        labels = contact_labels(ContactMotion(points, joints), FEATURE_FPS)
        assert (labels.contacts[:, :6] == truth)[inside].mean() > 0.9
        assert not labels.contacts[:, 6:].any()


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
    assert steadiness(moving, bearing).max() < 0.3
    assert steadiness(still, bearing).min() > 0.99
    away = still + np.linspace(0, 0.3, 90)[:, None, None] * still / 5.2  # an error of depth
    assert steadiness(away, bearing).min() > 0.9


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


def test_platt_scaling_undoes_overconfidence():
    generator = torch.Generator().manual_seed(0)
    log_odds = torch.randn(20000, generator=generator)
    truth = (torch.rand(20000, generator=generator) < log_odds.sigmoid()).float()
    slope, offset = platt_scaling(4 * log_odds + 1, truth)
    assert abs(slope - 0.25) < 0.03
    assert abs(offset + 0.25) < 0.08
