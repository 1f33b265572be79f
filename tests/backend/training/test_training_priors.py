"""Training of the priors: hand poses, augmentation, resuming, and what it gains."""

import math
from dataclasses import replace

import pytest
import torch

from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import matrix_to_rotvec, rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_NAMES
from hund_backend.prior.limits import JointLimits
from hund_backend.prior.pose_flow import FlowConfig, PoseFlow
from hund_backend.training.priors.augmentation import (
    LIMBS,
    Augmentation,
    AugmentationConfig,
    mirror_pose,
)
from hund_backend.training.priors.density import FlowRecipe, add_mixing, train_density, train_flow
from hund_backend.training.priors.hand_poses import HAND_JOINTS, hand_poses

UNCHANGED = AugmentationConfig(
    limb_swap_share=0.0, noise=0.0, hand_noise=0.0, large_noise_share=0.0
)
HAND = [JOINT_NAMES.index(name) - 1 for name in HAND_JOINTS]
RECIPE = FlowRecipe(layers=2, steps=40, batch=32, every=10, whitening_poses=400)


class HandPoses:
    """Sampler of hand poses that raises after some draws."""

    def __init__(self, max_draws=math.inf):
        self.rest = BodyModel.load("keypoints").rest_template
        self.left = max_draws

    def draw(self, count, generator):
        if self.left <= 0:
            raise KeyboardInterrupt
        self.left -= 1
        return hand_poses(self.rest, count, generator)


@pytest.fixture(scope="module")
def rest():
    return BodyModel.load("keypoints").rest_template


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def random_poses(count, size=0.2, seed=3):
    """Poses near rest."""
    generator = torch.Generator().manual_seed(seed)
    return rotvec_to_matrix(
        size * torch.randn(count, len(JOINT_NAMES) - 1, 3, generator=generator)
    )


def test_hand_poses_move_the_fingers_only(rest, generator):
    pose = hand_poses(rest, 50, generator)
    moved = matrix_to_rotvec(pose).norm(dim=-1)
    others = [joint for joint in range(len(JOINT_NAMES) - 1) if joint not in HAND]
    assert moved[:, others].max() == 0
    assert moved[:, HAND].amax(0).min() > 0.05


def test_hand_poses_are_reproducible(rest):
    first, second = (hand_poses(rest, 5, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second)


def test_flexed_fingers_are_nearer_the_wrist(rest, generator):
    body = BodyModel.load("keypoints")
    pose = hand_poses(rest, 300, generator)
    joints = body(pose, torch.zeros(300, 16)).joints
    place = JOINT_NAMES.index
    reach = (joints[:, place("Middle03L")] - joints[:, place("HandL")]).norm(dim=-1)
    flexion = matrix_to_rotvec(pose[:, place("Middle02L") - 1]).norm(dim=-1)
    assert reach[flexion > 1.5].max() < reach[flexion < 0.2].min()


def test_mirroring_twice_is_the_identity():
    pose = random_poses(20)
    torch.testing.assert_close(mirror_pose(mirror_pose(pose)), pose)


def test_augmentation_without_noise_mirrors_at_most(generator):
    pose = random_poses(40)
    changed = Augmentation(UNCHANGED)(pose, generator)
    same = (changed - pose).abs().amax((1, 2, 3)) < 1e-6
    mirrored = (changed - mirror_pose(pose)).abs().amax((1, 2, 3)) < 1e-6
    assert (same ^ mirrored).all()
    assert same.any() and mirrored.any()


def test_limbs_are_swapped_as_wholes(generator):
    pose = random_poses(40)
    recombined = Augmentation(replace(UNCHANGED, limb_swap_share=1.0))(pose, generator)
    known = torch.cat((pose, mirror_pose(pose)))
    for limb in LIMBS:
        joints = [JOINT_NAMES.index(name) - 1 for name in limb]
        distance = (recombined[:, None, joints] - known[None, :, joints]).abs().amax((2, 3, 4))
        assert distance.amin(1).max() < 1e-6, limb


def test_augmentation_respects_joint_limits(generator):
    limits, config = (
        JointLimits(),
        AugmentationConfig(large_noise_share=1.0, large_noise=1.0, limb_swap_share=0.0),
    )
    pose = random_poses(60, size=0.05)
    before = limits.excess(torch.cat((pose, mirror_pose(pose)))).abs().max()
    after = limits.excess(Augmentation(config)(pose, generator)).abs().max()
    assert after <= before + config.tolerance + 1e-5


def test_mixing_is_random(generator):
    pose = random_poses(10)
    first, second = (add_mixing(pose, (3, 4, 5), 0.1, generator) for _ in range(2))
    assert not torch.equal(first, second)


def train_hand_flow(recipe, stream, checkpoint=None):
    torch.manual_seed(0)
    flow = PoseFlow(FlowConfig(joints=HAND_JOINTS, layers=recipe.layers))
    validation = HandPoses().draw(100, torch.Generator().manual_seed(9))
    curve = train_density(
        flow, lambda x: flow.encode(x)[1], stream, validation, recipe, checkpoint
    )
    return flow, curve


def test_resumed_training_equals_uninterrupted(tmp_path):
    path = tmp_path / "flow.checkpoint"
    uninterrupted, curve = train_hand_flow(RECIPE, HandPoses())
    with pytest.raises(KeyboardInterrupt):
        train_hand_flow(RECIPE, HandPoses(max_draws=27), path)
    resumed, continued = train_hand_flow(RECIPE, HandPoses(), path)
    assert continued == curve
    for name, values in uninterrupted.state_dict().items():
        assert torch.equal(values, resumed.state_dict()[name]), name


def test_short_training_beats_the_gaussian(rest):
    """The hand flow's recipe in short: nonlinear layers gain over the whitening alone."""
    recipe = FlowRecipe(layers=4, steps=200, batch=128, every=100, whitening_poses=5000, rate=1e-2)
    validation = HandPoses().draw(300, torch.Generator().manual_seed(9))
    torch.manual_seed(0)
    flow, curve = train_flow(HAND_JOINTS, HandPoses(), validation, recipe)
    gaussian, _ = train_flow(HAND_JOINTS, HandPoses(), validation, replace(recipe, steps=0))
    gain = flow.log_prob(validation).mean() - gaussian.log_prob(validation).mean()
    assert gain / (3 * len(HAND_JOINTS)) > 0.03
    assert curve[-1]["validation"] > curve[0]["validation"]


def pose_with_angles(**degrees):
    """Pose with the given angles about the joints' flexion axes."""
    limits = JointLimits()
    pose = torch.eye(3).repeat(len(JOINT_NAMES) - 1, 1, 1)
    for name, angle in degrees.items():
        joint = JOINT_NAMES.index(name) - 1
        axis = limits.frames[limits.joints.index(joint), :, 0]
        pose[joint] = rotvec_to_matrix(math.radians(angle) * axis)
    return pose


def both(name, angle):
    return {f"{name}L": angle, f"{name}R": angle}


POSSIBLE = {
    "high kick": pose_with_angles(ThighL=120, CalfL=10, UpperarmL=-20, UpperarmR=60),
    "crawl": pose_with_angles(
        **both("Thigh", 90), **both("Calf", 95), **both("Upperarm", 90), Neck01=-30
    ),
    "squat": pose_with_angles(**both("Thigh", 120), **both("Calf", 140), **both("Ankle", -20)),
    "folded": pose_with_angles(
        **both("Thigh", 130), Spine01=30, Spine02=30, **both("Upperarm", 130)
    ),
    "splits": pose_with_angles(ThighL=90, ThighR=-50),
    "bridge": pose_with_angles(
        Spine01=-25, Spine02=-25, **both("Thigh", -20), **both("Calf", 80), **both("Upperarm", 140)
    ),
}


@pytest.mark.parametrize("name", POSSIBLE)
def test_acrobatic_poses_are_likelier_than_broken_knees(name):
    prior = PoseFlow.load()
    broken = pose_with_angles(**both("Calf", -70))
    energy = prior.energy(torch.stack((POSSIBLE[name], broken)))
    assert energy[0] < energy[1]
    assert energy[0] / (3 * len(prior.joints)) < 3
