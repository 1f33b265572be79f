"""Up direction by people at rest: as low as the pose allows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from test_motion_upright import FPS, NOT_TURNED, angle_deg, evidence_of, standing, track

from hund_backend.body.center_of_mass import mass_weights
from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import JOINT_NAMES
from hund_backend.motion.resting import lies, resting_up
from hund_backend.motion.upright import CAMERA_UP


@pytest.fixture(scope="module")
def straight():
    """Joints and contact points of a straight body at rest, y up, metres."""
    body = BodyModel.load("keypoints")
    identity = torch.eye(3).expand(1, len(JOINT_NAMES), 3, 3)
    posed = body(
        identity[:, 1:],
        torch.zeros(1, 16),
        global_orient=identity[:, 0],
        root_translation=torch.zeros(1, 3),
    )
    return (
        np.repeat(posed.joints.double().numpy(), 60, axis=0),
        np.repeat(body.contact_points(posed).double().numpy(), 60, axis=0),
    )


def lying(straight, tilt_deg, speed=0.0):
    """Somebody on the back before a camera (y down) that is tilted."""
    joints, points = straight
    on_back = np.stack(((1.0, 0, 0), (0, 0, -1), (0, 1, 0)))  # feet to the camera, face up
    rotation = Rotation.from_euler("xz", tilt_deg, degrees=True).as_matrix() @ on_back
    aside = np.arange(len(joints))[:, None, None] / FPS * np.array((speed, 0, 0)) + (0, 0, 4.0)
    person = track(joints, points[:, :6], rotation)
    moved = replace(
        person,
        joints=(joints @ rotation.T + aside).astype(np.float32),
        contact_points=points @ rotation.T + aside,
    )
    return moved, rotation @ np.array((0, 0, 1.0))


@pytest.mark.parametrize("tilt", [(0, 0), (12, 0), (-12, 5), (0, 15)])
def test_who_lies_says_where_up_is(straight, tilt):
    person, up = lying(straight, tilt)
    assert lies(person, CAMERA_UP, FPS).all()
    found = evidence_of(person, np.zeros((60, 6)))
    assert angle_deg(found.direction, up) < 8
    assert found.std < np.radians(10)


def test_the_center_of_mass_is_lowest(straight):
    person, _ = lying(straight, (10, 5))
    up = resting_up(person, np.ones(60, bool), CAMERA_UP)
    points = np.concatenate((person.contact_points[0], person.joints[0]))
    center = mass_weights(JOINT_NAMES) @ person.joints[0]

    def height(direction):
        return center @ direction - (points @ direction).min()

    around = [
        up @ Rotation.from_rotvec(np.radians(25) * axis).as_matrix() for axis in np.eye(3)[[0, 2]]
    ]
    assert all(height(up) < height(direction) for direction in around)


def test_who_stands_or_slides_does_not_rest(straight):
    joints, feet = standing()
    assert not lies(track(joints, feet, NOT_TURNED), CAMERA_UP, FPS).any()
    upside_down = np.diag((1.0, -1, -1))
    assert not lies(track(joints, feet, upside_down), CAMERA_UP, FPS).any()
    falling, _ = lying(straight, (0, 0), speed=2.0)
    assert not lies(falling, CAMERA_UP, FPS).any()
