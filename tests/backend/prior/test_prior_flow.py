"""Pose flows: bijections, densities over rotations, derivatives, files."""

import math

import pytest
import torch
from test_prior_pose import random_pose

from hund_backend.body.rotations import quaternion_to_matrix, rotvec_to_matrix, sixd_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX
from hund_backend.errors import BadInputError
from hund_backend.prior.augmented_sixd import log_importance_weight, rotations_to_sixd
from hund_backend.prior.gaussian import GaussianPrior
from hund_backend.prior.pose_flow import FlowConfig, PoseFlow
from hund_backend.prior.pose_prior import PosePrior
from hund_backend.training.weights import write_weights

KINDS = ("light", "realnvp", "spline")
JOINTS = ("Spine01", "UpperarmL", "LowerarmL", "ThighR")


@pytest.fixture(scope="module", params=KINDS)
def flow(request):
    return perturbed_flow(FlowConfig(joints=JOINTS, kind=request.param, layers=3, hidden=16))


def perturbed_flow(config, seed=0):
    """Flow with random parameters, away from the identity."""
    torch.manual_seed(seed)
    flow = PoseFlow(config).double()
    for values in flow.parameters():
        values.data += 0.1 * torch.randn_like(values)
    mixing = 0.1 * torch.randn(400, len(JOINTS), 3, dtype=torch.float64)
    flow.fit_whitening(rotations_to_sixd(random_pose(400)[:, flow.joints], mixing))
    return flow.eval().requires_grad_(False)


def test_flow_is_a_pose_prior(flow):
    assert isinstance(flow, PosePrior)


def test_pose_round_trip_through_the_latent(flow):
    pose = random_pose(30)
    back = flow.pose(flow.latent(pose))
    torch.testing.assert_close(back[:, flow.joints], pose[:, flow.joints])


def test_pose_round_trip_in_single_precision(flow):
    single = PoseFlow(flow.config)
    single.load_state_dict(flow.state_dict())
    for spread, allowed in ((0.3, 1e-4), (1.5, 1e-2)):  # poses of people, and any at all
        pose = random_pose(30, spread=spread).float()
        back = single.pose(single.latent(pose))[:, flow.joints]
        assert (back - pose[:, flow.joints]).abs().max() < allowed


def test_joints_outside_the_prior_are_at_rest(flow):
    pose = flow.pose(flow.latent(random_pose(2)))
    others = [joint for joint in range(62) if joint not in flow.joints]
    assert torch.equal(
        pose[:, others], torch.eye(3, dtype=pose.dtype).expand(2, len(others), 3, 3)
    )


def test_any_latent_decodes_to_rotations(flow):
    generator = torch.Generator().manual_seed(1)
    latents = 5 * torch.randn(50, flow.config.features, generator=generator, dtype=torch.float64)
    rotations = flow.pose(latents)
    eye = torch.eye(3, dtype=torch.float64).expand_as(rotations)
    torch.testing.assert_close(rotations @ rotations.mT, eye)
    assert (torch.linalg.det(rotations) > 0).all()


def test_density_equals_normal_times_jacobian_determinant(flow):
    sixd = rotations_to_sixd(
        random_pose(1)[:, flow.joints], torch.zeros(1, len(JOINTS), 3, dtype=torch.float64)
    )[0]
    latent, log_density = flow.encode(sixd)
    jacobian = torch.autograd.functional.jacobian(lambda x: flow.encode(x)[0], sixd)
    normal = -0.5 * latent.square().sum() - 0.5 * len(latent) * math.log(2 * math.pi)
    torch.testing.assert_close(log_density, normal + torch.linalg.slogdet(jacobian).logabsdet)


def test_jacobian_equals_finite_differences(flow):
    pose = random_pose(2)
    jacobian = flow.jacobian(pose)
    for index, joint in enumerate(flow.joints):
        for axis in range(3):
            ends = []
            for sign in (-1, 1):
                step = torch.zeros(3, dtype=torch.float64)
                step[axis] = sign * 1e-6
                moved = pose.clone()
                moved[:, joint] = pose[:, joint] @ rotvec_to_matrix(step)
                ends.append((flow.latent(moved), flow.log_det(moved)))
            for derivative, high, low in zip(jacobian, ends[1], ends[0], strict=True):
                finite = (high - low) / 2e-6
                torch.testing.assert_close(
                    derivative[..., index, axis], finite, atol=1e-5, rtol=1e-5
                )


def test_log_det_is_log_density_plus_energy_up_to_a_constant(flow):
    rotations = random_pose(5)
    sixd = rotations_to_sixd(
        rotations[:, flow.joints], torch.zeros(5, len(JOINTS), 3, dtype=torch.float64)
    )
    rest = flow.encode(sixd)[1] + flow.energy(rotations) - flow.log_det(rotations)
    torch.testing.assert_close(rest, rest[:1].expand(5))


def test_energy_and_density_have_gradients_in_all_joints(flow):
    pose = random_pose(3).requires_grad_()
    (flow.energy(pose) - flow.log_prob(pose)).sum().backward()
    assert torch.isfinite(pose.grad).all()
    assert (pose.grad[:, flow.joints].abs().amax((-2, -1)) > 0).all()


def test_batch_equals_single_poses(flow):
    pose = random_pose(2, 3)
    for function in (flow.latent, flow.log_det, flow.energy, flow.log_prob):
        single = torch.stack([function(one) for one in pose.flatten(0, 1)])
        torch.testing.assert_close(function(pose).flatten(0, 1), single, atol=1e-5, rtol=1e-5)


def test_samples_are_reproducible_by_seed(flow):
    pose = flow.sample(8, torch.Generator().manual_seed(0))
    torch.testing.assert_close(pose, flow.sample(8, torch.Generator().manual_seed(0)))
    assert not torch.equal(pose, flow.sample(8, torch.Generator().manual_seed(1)))


def test_gram_schmidt_removes_the_mixing():
    rotations = random_pose(20)[:, :5]
    generator = torch.Generator().manual_seed(1)
    mixing = 0.5 * torch.randn(20, 5, 3, generator=generator, dtype=torch.float64)
    back = sixd_to_matrix(rotations_to_sixd(rotations, mixing).unflatten(-1, (5, 6)))
    torch.testing.assert_close(back, rotations)


def test_importance_weight_is_volume_over_mixing_density():
    """The volume of the map (rotation, mixing) → 6D is computed from its Jacobian."""
    rotation = random_pose(1)[0, :1]
    mixing = torch.tensor([[0.2, -0.3, 0.1]], dtype=torch.float64)

    def sixd(coordinates):
        rotated = rotation @ rotvec_to_matrix(coordinates[None, :3])
        return rotations_to_sixd(rotated, coordinates[None, 3:])

    start = torch.cat((torch.zeros(3, dtype=torch.float64), mixing[0]))
    volume = torch.linalg.det(torch.autograd.functional.jacobian(sixd, start)).abs().log()
    density = torch.distributions.Normal(0.0, 0.4).log_prob(mixing).sum()
    torch.testing.assert_close(log_importance_weight(mixing, 0.4), volume - density)


@pytest.mark.parametrize("spread", [0.2, 0.6])
def test_gaussian_density_over_rotations_integrates_to_one(spread):
    """Monte Carlo over uniform rotations; the volume of SO(3) is 8 π²."""
    prior = GaussianPrior((0,), torch.eye(3)[None].double(), torch.eye(3).double() / spread)
    generator = torch.Generator().manual_seed(0)
    pose = uniform_rotations(400_000, generator)[:, None]
    total = prior.log_prob(pose).exp().mean() * 8 * math.pi**2
    assert float(total) == pytest.approx(1, abs=0.02)


def test_flow_density_over_rotations_integrates_to_one():
    """Importance sampling with mixings and proposals wider than the flow's own density."""
    config = FlowConfig(joints=("Spine01",), layers=1, mixing_std=0.3)
    flow = PoseFlow(config).double().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    vectors = 0.15 * torch.randn(5000, 1, 3, generator=generator, dtype=torch.float64)
    mixing = 0.2 * torch.randn(5000, 1, 3, generator=generator, dtype=torch.float64)
    flow.fit_whitening(rotations_to_sixd(rotvec_to_matrix(vectors), mixing))
    flow.mixings = 0.3 * torch.randn(4000, 1, 3, generator=generator, dtype=torch.float64)
    eye = torch.eye(3, dtype=torch.float64)
    proposal = GaussianPrior(flow.joints, eye[None], eye / 0.2)
    pose = proposal.pose(torch.randn(1000, 3, generator=generator, dtype=torch.float64))
    total = (flow.log_prob(pose) - proposal.log_prob(pose)).exp().mean()
    assert float(total) == pytest.approx(1, abs=0.08)


def uniform_rotations(count, generator):
    quaternions = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    return quaternion_to_matrix(quaternions)


def test_gaussian_pose_round_trip_through_the_latent():
    prior = GaussianPrior.load().double()
    pose = random_pose(10)
    back = prior.pose(prior.latent(pose))
    torch.testing.assert_close(back[:, prior.joints], pose[:, prior.joints])


def test_saved_flow_loads_unchanged(flow, tmp_path):
    path = tmp_path / "flow.safetensors"
    write_weights(path, flow.state_dict(), {"config": vars(flow.config)})
    again = PoseFlow.load(path)
    pose = random_pose(4).float()
    torch.testing.assert_close(again.latent(pose), flow.latent(pose.double()).float())
    assert again.joints == flow.joints == tuple(JOINT_INDEX[name] - 1 for name in JOINTS)


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_damaged_flow_file_is_named(damage, tmp_path):
    path = tmp_path / "flow.safetensors"
    flow = PoseFlow(FlowConfig(joints=JOINTS, layers=2))
    write_weights(path, flow.state_dict(), {"config": vars(flow.config)})
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        write_weights(
            path, flow.state_dict(), {"config": vars(flow.config) | {"joints": JOINTS[:2]}}
        )
    with pytest.raises(BadInputError, match="restore the file"):
        PoseFlow.load(path)
