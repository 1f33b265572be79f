"""Gaussian pose prior and joint limits."""

import pytest
import torch

from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX, JOINT_NAMES, MIRROR
from hund_backend.errors import BadInputError
from hund_backend.prior.gaussian import GaussianPrior
from hund_backend.prior.limits import JointLimits
from hund_backend.prior.pose_prior import PosePrior


@pytest.fixture(scope="module")
def prior():
    return GaussianPrior.load().double()


@pytest.fixture(scope="module")
def limits():
    return JointLimits(torch.float64)


def random_pose(*batch, seed=0, spread=0.3):
    generator = torch.Generator().manual_seed(seed)
    vectors = spread * torch.randn(*batch, 62, 3, generator=generator)
    return rotvec_to_matrix(vectors.double())


def single_rotation(joint, axis, degrees):
    pose = torch.eye(3, dtype=torch.float64).repeat(62, 1, 1)
    rotvec = torch.tensor(axis, dtype=torch.float64).deg2rad() * degrees
    pose[JOINT_INDEX[joint] - 1] = rotvec_to_matrix(rotvec)
    return pose


def test_gaussian_is_a_pose_prior(prior):
    assert isinstance(prior, PosePrior)


def test_typical_pose_has_the_lowest_energy(prior):
    typical = prior.typical_pose().double()
    assert prior.energy(typical) < 1e-8
    assert (prior.energy(random_pose(20)) > prior.energy(typical)).all()


def test_energy_is_half_the_squared_latent(prior):
    pose = random_pose(5)
    latent = prior.latent(pose)
    torch.testing.assert_close(prior.energy(pose), 0.5 * latent.square().sum(-1))


def test_jacobian_equals_finite_differences(prior):
    pose = random_pose(2)
    jacobian = prior.jacobian(pose)
    for index, joint in list(enumerate(prior.joints))[::5]:
        for axis in range(3):
            ends = []
            for sign in (-1, 1):
                step = torch.zeros(3, dtype=torch.float64)
                step[axis] = sign * 1e-6
                moved = pose.clone()
                moved[:, joint] = moved[:, joint] @ rotvec_to_matrix(step)
                ends.append((prior.latent(moved), prior.log_det(moved)))
            for derivative, high, low in zip(jacobian, ends[1], ends[0], strict=True):
                finite = (high - low) / 2e-6
                torch.testing.assert_close(
                    derivative[..., index, axis], finite, atol=1e-4, rtol=1e-4
                )


def test_damaged_prior_file_is_refused(tmp_path):
    (tmp_path / "prior.safetensors").write_bytes(b"nothing")
    (tmp_path / "prior.json").write_text("{}")
    with pytest.raises(BadInputError):
        GaussianPrior.load(tmp_path / "prior.safetensors")


@pytest.mark.parametrize(
    ("joint", "axis", "degrees"),
    [("CalfL", (0.996, 0.087, 0), 120), ("AnkleR", (1, 0, 0), 70), ("ThighL", (-1, 0, 0), 110)],
)
def test_extreme_human_poses_are_within_the_limits(joint, axis, degrees, limits):
    assert limits.excess(single_rotation(joint, axis, degrees)).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("joint", "axis", "degrees"),
    [("CalfL", (1, 0, 0), -60), ("CalfR", (0, 0, 1), 50), ("Neck01", (0, 1, 0), 120)],
)
def test_impossible_poses_are_outside_the_limits(joint, axis, degrees, limits):
    assert limits.excess(single_rotation(joint, axis, degrees)).abs().max() > 0.3


def test_limits_are_mirror_symmetric(limits):
    pose = random_pose(8, spread=1.0)
    swap = [MIRROR[joint] - 1 for joint in range(1, len(JOINT_NAMES))]
    flip = torch.diag(torch.tensor([-1.0, 1, 1], dtype=torch.float64))
    mirrored = flip @ pose[:, swap] @ flip
    cost = limits.excess(pose).square().sum((-2, -1))
    torch.testing.assert_close(limits.excess(mirrored).square().sum((-2, -1)), cost)
