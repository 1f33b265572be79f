"""Contacts of the soles: points, features, network and labels."""

import numpy as np
import torch

from hund_backend.body.model import BodyModel
from hund_backend.body.soles import SOLE_NAMES
from hund_backend.motion.contact_features import FEATURE_FPS, FootMotion, contact_features
from hund_backend.motion.contact_network import ContactNetwork
from hund_backend.motion.contacts import heel_and_toe
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


def test_labels_match_a_walker_and_do_not_need_a_level_floor():
    motion, _, truth = walking()
    world = motion.soles * (1, -1, 1)
    climbing = world + np.linspace(0, 0.3, len(world))[:, None, None] * (0, 1, 0)
    inside = np.s_[3:-3]
    for soles in (world, climbing):
        labels = sole_labels(soles, FEATURE_FPS)
        assert (labels == truth)[inside].mean() > 0.9


def test_a_foot_stands_on_its_toes_while_ball_or_toes_bear():
    contacts = np.array([[0.1, 0.9, 0.2, 0.8, 0.0, 0.3]])
    np.testing.assert_array_equal(heel_and_toe(contacts), [[0.1, 0.9, 0.8, 0.3]])


def test_calibration_error_vanishes_where_probabilities_are_frequencies():
    truth = np.arange(100) < 30
    assert calibration_error(np.full(100, 0.3), truth) < 1e-9
    assert calibration_error(np.full(100, 0.9), truth) > 0.5
