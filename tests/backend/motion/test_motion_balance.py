"""Balance: hands, knees and seats that must bear somebody who would fall without them."""

import numpy as np
import torch

from hund_backend.body.contact_points import CONTACT_NAMES
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX
from hund_backend.motion.balance import bearing_by_balance

UP = np.array([0.0, -1.0, 0.0])
TIMES = np.arange(30) / 30


def found_in(drift=0.0, *, rests=False, **turns):
    """Largest probabilities of the parts of a pose, its joints turned about x, degrees.

    Args:
        drift: speed of the whole body, m/s.
        rests: whether the person lies or is on their hands.
        turns: of "Pelvis", and of joints on both sides.
    """
    body = BodyModel.load("keypoints")
    pose = torch.eye(3).repeat(63, 1, 1)
    for name, angle in turns.items():
        turn = rotvec_to_matrix(torch.tensor([np.radians(angle), 0.0, 0.0]).float())
        for joint in [name] if name == "Pelvis" else [f"{name}L", f"{name}R"]:
            pose[JOINT_INDEX[joint]] = turn
    camera = torch.diag(torch.tensor([1.0, -1, -1]))
    posed = body(
        pose[1:],
        torch.zeros(16),
        global_orient=camera @ pose[0],
        root_translation=torch.tensor([0.0, 0.0, 5.0]),
    )
    shift = drift * TIMES[:, None, None] * np.array([1.0, 0, 0])
    points = body.contact_points(posed).double().numpy()[None] + shift
    joints = posed.joints.double().numpy()[None] + shift
    found = bearing_by_balance(points, joints, UP, TIMES, np.full(30, rests))
    assert rests or not found[:, :6].any()
    return {
        part: found[15, [i for i, name in enumerate(CONTACT_NAMES) if name.endswith(part)]].max()
        for part in ("hand", "knee", "seat", "heel", "toe")
    }


def test_nothing_but_the_feet_bears_who_stands():
    assert max(found_in().values()) < 0.1


def test_hands_bear_in_a_push_up():
    """Face down and level, the arms straight down."""
    found = found_in(Pelvis=80, Upperarm=-80)
    assert found["hand"] > 0.6
    assert found["seat"] < 0.3


def test_the_seat_bears_who_sits_on_a_chair():
    found = found_in(Thigh=-90, Calf=90)
    assert found["seat"] > 0.6
    assert found["hand"] < 0.3


def test_seats_and_knees_bear_on_the_ground():
    assert found_in(Thigh=-90)["seat"] > 0.6
    kneels = found_in(Calf=90)
    assert kneels["knee"] > 0.6
    assert kneels["seat"] < 0.3


def test_soles_at_the_ground_bear_who_rests():
    found = found_in(rests=True, Pelvis=-90)  # on the back
    assert found["heel"] > 0.6
    assert found["toe"] < 0.3
    assert found["seat"] > 0.6


def test_who_moves_fast_may_lean():
    assert max(found_in(drift=2.0, Pelvis=80, Upperarm=-80).values()) < 0.1


def test_a_short_track_has_none():
    points, joints = np.zeros((2, 12, 3)), np.zeros((2, 63, 3))
    assert not bearing_by_balance(points, joints, UP, TIMES[:2], np.zeros(2, bool)).any()
