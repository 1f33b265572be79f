"""Up direction by balance: the center of mass is above the feet that bear."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hund_backend.body.center_of_mass import centers_of_mass
from hund_backend.body.skeleton import JOINT_INDEX, JOINT_NAMES
from hund_backend.motion.posed_track import PosedTrack
from hund_backend.motion.resting import lies
from hund_backend.motion.upright import CAMERA_UP, on_feet, up_evidence

FPS = 30.0
UP, NOT_TURNED = np.array([0.0, 1.0, 0.0]), np.diag((1.0, 1.0, 1.0))


def standing(lean=0.0, frames=60):
    """Somebody with a leaning trunk whose hips move back, so that the balance is kept; y up."""
    joints = np.zeros((len(JOINT_NAMES), 3))
    for side, x in (("L", 0.1), ("R", -0.1)):
        for name, y in (("Thigh", 0.9), ("Calf", 0.5), ("Ankle", 0.1), ("Ball", 0.02)):
            joints[JOINT_INDEX[name + side]] = (x, y, 0)
        for name, y in (("Upperarm", 1.4), ("Lowerarm", 1.1), ("Hand", 0.9)):
            joints[JOINT_INDEX[name + side]] = (2 * x, y, 0)
    trunk = [JOINT_INDEX[name] for name in ("Pelvis", "Spine01", "Spine03", "Neck01", "Head01")]
    joints[trunk, 1] = 0.9, 1.05, 1.25, 1.45, 1.6
    upper = [*trunk, *(JOINT_INDEX[n + s] for n in ("Upperarm", "Lowerarm", "Hand") for s in "LR")]
    tilt = Rotation.from_euler("x", lean).as_matrix()
    joints[upper] = (joints[upper] - (0, 0.9, 0)) @ tilt.T + (0, 0.9, 0)
    feet = np.array([(x, 0, z) for x in (0.1, -0.1) for z in (-0.06, 0.04, 0.08)])
    shift = centers_of_mass(joints[None])[0, 2] - feet[:, 2].mean()
    feet[:, 2] += shift  # below the center of mass
    return np.repeat(joints[None], frames, 0), np.repeat(feet[None], frames, 0)


def track(joints, feet, rotation=NOT_TURNED, confidence=0.9, *, present=True):
    frames = len(joints)
    keypoints = np.full((frames, 33, 3), confidence, np.float32)
    nothing = np.zeros((frames, 1, 1), np.float32)
    return PosedTrack(
        track_id=0,
        present=np.full(frames, present),
        rotations=np.zeros((frames, len(JOINT_NAMES), 4), np.float32),
        joints=(joints @ rotation.T).astype(np.float32),
        pelvis_axes=np.repeat(rotation[None], frames, axis=0),
        contact_points=np.concatenate((feet, feet), axis=1) @ rotation.T,
        betas=np.zeros(16, np.float32),
        keypoints=keypoints,
        joint_confidence=np.ones((frames, len(JOINT_NAMES)), np.float32),
        stage_losses=nothing,
        stage_rotations=np.zeros((frames, 1, len(JOINT_NAMES), 4), np.float32),
        stage_root_translation=np.zeros((frames, 1, 3), np.float32),
    )


def evidence_of(person, bearing):
    return up_evidence(person, bearing, lies(person, CAMERA_UP, FPS), FPS)


def angle_deg(a, b):
    return np.degrees(np.arccos(np.clip(a @ b, -1, 1)))


@pytest.mark.parametrize("lean", [0.0, 0.3, -0.3])
@pytest.mark.parametrize("tilt", [(0, 0), (0.3, 0.1), (-1.0, 0.5)])
def test_who_leans_keeps_the_balance(lean, tilt):
    rotation = Rotation.from_euler("xz", tilt).as_matrix()
    joints, feet = standing(lean)
    found = evidence_of(track(joints, feet, rotation), np.ones((60, 6)))
    assert angle_deg(found.direction, rotation @ UP) < 2
    assert np.linalg.norm(found.direction) == pytest.approx(1)


def test_the_longer_feet_bear_the_surer_is_the_direction():
    stds = [
        evidence_of(track(*standing(frames=frames)), np.ones((frames, 6))).std
        for frames in (1, 10, 60, 300)
    ]
    assert np.all(np.diff(stds) < 0) and stds[-1] > np.radians(1)


def test_feet_out_of_view_say_nothing_and_the_trunk_little():
    joints, feet = standing(lean=0.3)
    found = evidence_of(track(joints, feet, confidence=0.0), np.ones((60, 6)))
    assert angle_deg(found.direction, UP) > 10 and found.std > np.radians(10)
    person = track(joints, feet, confidence=0.0, present=False)
    assert evidence_of(person, np.zeros((60, 6))).std > np.pi


def test_bent_legs_say_less_than_straight_ones():
    joints, feet = standing()
    seated = joints.copy()
    for side in "LR":  # thighs ahead, calves down
        knee = joints[:, JOINT_INDEX["Thigh" + side]] + (0, 0, 0.4)
        seated[:, JOINT_INDEX["Calf" + side]] = knee
        seated[:, JOINT_INDEX["Ankle" + side]] = knee - (0, 0.4, 0)
    stands, sits = track(joints, feet), track(np.concatenate((joints[:1], seated)), feet[[0] * 61])
    bearing = np.ones((61, 6))
    assert evidence_of(sits, bearing).std > 2 * evidence_of(stands, bearing[:60]).std


@pytest.mark.parametrize(("tilt", "low", "high"), [(0.0, 0.95, 1), (0.6, 0.8, 1), (1.4, 0, 0.2)])
def test_who_lies_along_the_ground_is_not_on_their_feet(tilt, low, high):
    rotation = Rotation.from_euler("x", tilt).as_matrix()
    found = evidence_of(track(*standing(), rotation), np.ones((60, 6)))
    assert low <= on_feet(found, UP) <= high


def test_center_of_mass_moves_with_the_body_and_lies_within():
    joints, _ = standing()
    (center,) = centers_of_mass(joints[:1])
    assert 0.85 < center[1] < 1.1 and abs(center[0]) < 1e-9
    np.testing.assert_allclose(centers_of_mass(joints[:1] + 2), [center + 2])
