"""Retargeting: rotation transfer, rolls of limbs, inverse kinematics."""

import math

import numpy as np
import pytest
import torch
from stick_figures import NAMES, figure_motion, pack

from hund_backend.body.kinematics import forward_kinematics
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import BODY_JOINTS, JOINT_INDEX, JOINT_NAMES, PARENTS
from hund_backend.prior.limits import JointLimits
from hund_backend.training.motion.inverse_kinematics import InverseKinematics
from hund_backend.training.motion.limb_roll import bent_backwards, hinged
from hund_backend.training.motion.retargeting import mirror_rotations, retarget_pack

TURNS = {"y up": np.eye(3), "z up": np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])}
BONES = (("thigh", "calf"), ("calf", "foot"), ("upperarm", "lowerarm"), ("lowerarm", "hand"))
OURS = {
    "thigh": "Thigh",
    "calf": "Calf",
    "foot": "Ankle",
    "upperarm": "Upperarm",
    "lowerarm": "Lowerarm",
    "hand": "Hand",
}


@pytest.fixture(scope="module")
def rest():
    return BodyModel.load("keypoints").rest_template.double()


def our_joints(rotations, rest):
    return forward_kinematics(rotations, rest.expand(len(rotations), -1, -1), PARENTS)[1]


def source_joints(source_pack, turn):
    orientations, positions = [], []
    local = rotvec_to_matrix(torch.from_numpy(source_pack.rotvecs))
    offsets = torch.from_numpy(source_pack.offsets[0])
    for joint, parent in enumerate(source_pack.parents):
        if parent < 0:
            orientations.append(local[:, joint])
            positions.append(torch.zeros(len(local), 3, dtype=torch.float64))
        else:
            orientations.append(orientations[parent] @ local[:, joint])
            positions.append(positions[parent] + orientations[parent] @ offsets[joint])
    return torch.stack(positions, 1) @ torch.from_numpy(turn)


def directions(start, end):
    return torch.nn.functional.normalize(end - start, dim=-1)


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
def test_limb_bones_keep_the_sources_directions(turn, rest):
    source_pack = pack([figure_motion(60, seed=0)], turn=turn)
    motion = next(retarget_pack(source_pack, rest))
    retargeted, source = our_joints(motion.rotations, rest), source_joints(source_pack, turn)
    for side in "LR":
        for first, second in BONES:
            source_indices = [
                source_pack.joint_names.index(NAMES.side_joint(side, j)) for j in (first, second)
            ]
            source_direction = directions(*source[:, source_indices].unbind(1))
            target_joints = [JOINT_INDEX[OURS[j] + side] for j in (first, second)]
            target_direction = directions(*retargeted[:, target_joints].unbind(1))
            torch.testing.assert_close(target_direction, source_direction, atol=1e-6, rtol=0)


def test_hinges_only_flex(rest):
    limits = JointLimits(torch.float64)
    motion = next(retarget_pack(pack([figure_motion(60, seed=1)]), rest))
    angles = limits.angles(motion.rotations[:, 1:])
    for joint in ("CalfL", "CalfR", "LowerarmL", "LowerarmR"):
        flexion, abduction, _ = angles[:, limits.joints.index(JOINT_INDEX[joint] - 1)].unbind(-1)
        assert flexion.min() > 0.1
        assert abduction.abs().max() < 0.1


def test_roll_follows_from_the_bend(rest):
    generator = torch.Generator().manual_seed(0)
    bone, axis = torch.tensor([0.0, -1, 0]).double(), torch.tensor([-1.0, 0, 0]).double()
    orientation = rotvec_to_matrix(torch.randn(1, 3, generator=generator).double()).expand(
        20, 3, 3
    )
    bend = rotvec_to_matrix(torch.linspace(0.6, 1.5, 20).double()[:, None] * axis)
    second = orientation @ bend @ bone
    for roll in (0.0, 1.0, -2.5):
        rolled = orientation @ rotvec_to_matrix(roll * bone)
        found = hinged(rolled, second, bone, axis)
        torch.testing.assert_close(found, orientation, atol=2e-2, rtol=0)


def test_bent_backwards_is_decided_by_run():
    bend = torch.tensor([0.0, 0.5, 0.6, 0.5, 0.0, 0.5, 0.5, 0.1])
    roll = torch.tensor([3.0, 2.9, 1.9, 3.0, 0.0, 0.5, 2.5, 3.0])
    expected = [False, True, True, True, False, False, False, False]
    assert bent_backwards(bend, roll).tolist() == expected


def test_backward_forearms_are_turned_back(rest):
    rotvecs = figure_motion(60, seed=2)
    right = next(retarget_pack(pack([rotvecs]), rest))
    clips = [rotvecs, rotvecs.copy()]
    elbow = pack(clips).joint_names.index(NAMES.side_joint("L", "lowerarm"))
    clips[1][:, elbow] *= -1
    # The pack's hinge axis is a mean, so the wrong clip must be less than half of the pack.
    wrong = list(retarget_pack(pack([rotvecs, rotvecs, clips[1]]), rest))[-1]
    hands = [our_joints(m.rotations, rest)[:, JOINT_INDEX["HandL"]] for m in (right, wrong)]
    torch.testing.assert_close(hands[1], hands[0], atol=1e-6, rtol=0)


def test_mirroring_twice_is_the_identity(rest):
    motion = next(retarget_pack(pack([figure_motion(10, seed=3)]), rest))
    torch.testing.assert_close(
        mirror_rotations(mirror_rotations(motion.rotations)), motion.rotations
    )
    assert not torch.allclose(mirror_rotations(motion.rotations), motion.rotations)


def test_inverse_kinematics_reaches_targets(rest):
    motion = next(retarget_pack(pack([figure_motion(20, seed=4)]), rest))
    moved = tuple(j for j in BODY_JOINTS if not JOINT_NAMES[j].startswith(("Foot", "Ball", "Toe")))
    kinematics = InverseKinematics(rest, moved)
    targeted = [JOINT_INDEX[name + side] for name in OURS.values() for side in "LR"]
    targeted += [JOINT_INDEX["Neck01"], JOINT_INDEX["Head01"]]
    weights = torch.zeros(20, 63, dtype=torch.float64)
    weights[:, targeted] = 1
    generator = torch.Generator().manual_seed(0)
    start = motion.rotations.clone()
    shaken = 0.15 * torch.randn(20, len(moved), 3, generator=generator).double()
    start[:, moved] = start[:, moved] @ rotvec_to_matrix(shaken)
    targets = kinematics.positions(motion.rotations)
    before = (kinematics.positions(start) - targets)[:, targeted].norm(dim=-1)
    after = (kinematics.positions(kinematics.solve(start, targets, weights)) - targets)[
        :, targeted
    ]
    after = after.norm(dim=-1)
    assert before.mean() > 0.08
    assert after.mean() < 0.002 and after.max() < 0.03  # 0.2 and 7 mm measured


def test_inverse_kinematics_keeps_a_solution(rest):
    motion = next(retarget_pack(pack([figure_motion(5, seed=5)]), rest))
    moved = tuple(JOINT_INDEX[name] for name in ("UpperarmL", "LowerarmL"))
    kinematics = InverseKinematics(rest, moved)
    targets = kinematics.positions(motion.rotations)
    found = kinematics.solve(motion.rotations, targets, torch.ones(5, 63, dtype=torch.float64))
    limits = JointLimits(torch.float64)
    assert limits.excess(motion.rotations[:, 1:]).abs().max() < math.radians(1)
    torch.testing.assert_close(found, motion.rotations, atol=1e-4, rtol=0)
