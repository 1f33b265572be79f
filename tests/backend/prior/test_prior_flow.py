"""Laws of the pose flows: bijections, densities over rotations, derivatives, files."""

import math

import pytest
import torch
from test_prior_pose import random_pose

from hund_backend.body.rotations import quaternion_to_matrix, rotvec_to_matrix, sixd_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX
from hund_backend.errors import BadInputError
from hund_backend.prior.augmented_sixd import log_weight, sixd_of
from hund_backend.prior.gaussian import GaussianPrior
from hund_backend.prior.pose_flow import FlowConfig, PoseFlow
from hund_backend.prior.pose_prior import PosePrior
from hund_backend.training.weights import write_weights

KINDS = ("light", "realnvp", "spline")
JOINTS = ("Spine01", "UpperarmL", "LowerarmL", "ThighR")


@pytest.fixture(scope="module", params=KINDS)
def flow(request):
    return bent(FlowConfig(joints=JOINTS, kind=request.param, layers=3, hidden=16))


def bent(config, seed=0):
    """A flow far enough from the identity for its laws to say something."""
    flow = PoseFlow(config).double()
    torch.manual_seed(seed)
    for values in flow.parameters():
        values.data += 0.1 * torch.randn_like(values)
    mixing = 0.1 * torch.randn(400, len(JOINTS), 3, dtype=torch.float64)
    flow.whiten(sixd_of(random_pose(400)[:, flow.joints], mixing))
    return flow.eval().requires_grad_(False)


def test_a_flow_is_a_pose_prior(flow):
    assert isinstance(flow, PosePrior)


def test_poses_come_back_from_their_latents(flow):
    pose = random_pose(30)
    back = flow.pose(flow.latent(pose))
    torch.testing.assert_close(back[:, flow.joints], pose[:, flow.joints])


def test_poses_come_back_in_single_precision(flow):
    single = PoseFlow(flow.config)
    single.load_state_dict(flow.state_dict())
    for spread, allowed in ((0.3, 1e-4), (1.5, 1e-2)):  # poses of people, and any at all
        pose = random_pose(30, spread=spread).float()
        back = single.pose(single.latent(pose))[:, flow.joints]
        assert (back - pose[:, flow.joints]).abs().max() < allowed


def test_joints_that_are_not_modelled_are_at_rest(flow):
    pose = flow.pose(flow.latent(random_pose(2)))
    others = [joint for joint in range(62) if joint not in flow.joints]
    assert torch.equal(
        pose[:, others], torch.eye(3, dtype=pose.dtype).expand(2, len(others), 3, 3)
    )


def test_any_latent_is_a_valid_pose(flow):
    wild = 5 * torch.randn(50, flow.config.features, dtype=torch.float64)
    rotations = flow.pose(wild)
    eye = torch.eye(3, dtype=torch.float64).expand_as(rotations)
    torch.testing.assert_close(rotations @ rotations.mT, eye)
    assert (torch.linalg.det(rotations) > 0).all()


def test_the_latents_density_is_that_of_its_jacobian(flow):
    sixd = sixd_of(
        random_pose(1)[:, flow.joints], torch.zeros(1, len(JOINTS), 3, dtype=torch.float64)
    )[0]
    latent, log_density = flow.encode(sixd)
    jacobian = torch.autograd.functional.jacobian(lambda x: flow.encode(x)[0], sixd)
    normal = -0.5 * latent.square().sum() - 0.5 * len(latent) * math.log(2 * math.pi)
    torch.testing.assert_close(log_density, normal + torch.linalg.slogdet(jacobian).logabsdet)


def test_derivatives_are_those_of_finite_steps(flow):
    pose = random_pose(2)
    slopes = flow.slopes(pose)
    for place, joint in enumerate(flow.joints):
        for axis in range(3):
            ends = []
            for sign in (-1, 1):
                step = torch.zeros(3, dtype=torch.float64)
                step[axis] = sign * 1e-6
                moved = pose.clone()
                moved[:, joint] = pose[:, joint] @ rotvec_to_matrix(step)
                ends.append((flow.latent(moved), flow.stretch(moved)))
            for slope, high, low in zip(slopes, ends[1], ends[0], strict=True):
                finite = (high - low) / 2e-6
                torch.testing.assert_close(slope[..., place, axis], finite, atol=1e-5, rtol=1e-5)


def test_the_stretch_is_what_density_has_beside_energy(flow):
    rotations = random_pose(5)
    sixd = sixd_of(rotations[:, flow.joints], torch.zeros(5, len(JOINTS), 3, dtype=torch.float64))
    rest = flow.encode(sixd)[1] + flow.energy(rotations) - flow.stretch(rotations)
    torch.testing.assert_close(rest, rest[:1].expand(5))


def test_energy_and_density_have_gradients_everywhere(flow):
    pose = random_pose(3).requires_grad_()
    (flow.energy(pose) - flow.log_prob(pose)).sum().backward()
    assert torch.isfinite(pose.grad).all()
    assert (pose.grad[:, flow.joints].abs().amax((-2, -1)) > 0).all()


def test_a_batch_is_its_poses_one_by_one(flow):
    pose = random_pose(2, 3)
    for function in (flow.latent, flow.stretch, flow.energy, flow.log_prob):
        single = torch.stack([function(one) for one in pose.flatten(0, 1)])
        torch.testing.assert_close(function(pose).flatten(0, 1), single, atol=1e-5, rtol=1e-5)


def test_samples_have_the_latents_of_a_standard_normal_but_for_what_is_forgotten(flow):
    pose = flow.sample(8, torch.Generator().manual_seed(0))
    torch.testing.assert_close(pose, flow.sample(8, torch.Generator().manual_seed(0)))
    assert not torch.equal(pose, flow.sample(8, torch.Generator().manual_seed(1)))


def test_gram_schmidt_forgets_the_mixing():
    rotations = random_pose(20)[:, :5]
    mixing = 0.5 * torch.randn(20, 5, 3, dtype=torch.float64)
    back = sixd_to_matrix(sixd_of(rotations, mixing).unflatten(-1, (5, 6)))
    torch.testing.assert_close(back, rotations)


def test_the_weight_of_a_mixing_is_the_volume_over_its_density():
    """The volume of (rotation, mixing) → 6D, by its Jacobian."""
    rotation = random_pose(1)[0, :1]
    mixing = torch.tensor([[0.2, -0.3, 0.1]], dtype=torch.float64)

    def sixd(coordinates):
        turned = rotation @ rotvec_to_matrix(coordinates[None, :3])
        return sixd_of(turned, coordinates[None, 3:])

    start = torch.cat((torch.zeros(3, dtype=torch.float64), mixing[0]))
    volume = torch.linalg.det(torch.autograd.functional.jacobian(sixd, start)).abs().log()
    drawn = torch.distributions.Normal(0.0, 0.4).log_prob(mixing).sum()
    torch.testing.assert_close(log_weight(mixing, 0.4), volume - drawn)


@pytest.mark.parametrize("spread", [0.2, 0.6])
def test_the_gaussians_density_over_rotations_sums_to_one(spread):
    """By quadrature over all rotations: uniform ones, weighted by the volume 8 π² of SO(3)."""
    prior = GaussianPrior((0,), torch.eye(3)[None].double(), torch.eye(3).double() / spread)
    generator = torch.Generator().manual_seed(0)
    pose = uniform_rotations(400_000, generator)[:, None]
    total = prior.log_prob(pose).exp().mean() * 8 * math.pi**2
    assert float(total) == pytest.approx(1, abs=0.02)


def test_the_flows_density_over_rotations_sums_to_one():
    """Draws that are wider than what the flow has learned cover all of its density."""
    config = FlowConfig(joints=("Spine01",), layers=1, spread=0.3)
    flow = PoseFlow(config).double().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    vectors = 0.15 * torch.randn(5000, 1, 3, generator=generator, dtype=torch.float64)
    mixing = 0.2 * torch.randn(5000, 1, 3, generator=generator, dtype=torch.float64)
    flow.whiten(sixd_of(rotvec_to_matrix(vectors), mixing))
    flow.mixings = 0.3 * torch.randn(4000, 1, 3, generator=generator, dtype=torch.float64)
    eye = torch.eye(3, dtype=torch.float64)
    proposal = GaussianPrior(flow.joints, eye[None], eye / 0.2)
    pose = proposal.pose(torch.randn(1000, 3, generator=generator, dtype=torch.float64))
    total = (flow.log_prob(pose) - proposal.log_prob(pose)).exp().mean()
    assert float(total) == pytest.approx(1, abs=0.08)


def uniform_rotations(count, generator):
    quaternions = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    return quaternion_to_matrix(quaternions)


def test_the_gaussians_poses_come_back_from_their_latents():
    prior = GaussianPrior.load().double()
    pose = random_pose(10)
    back = prior.pose(prior.latent(pose))
    torch.testing.assert_close(back[:, prior.joints], pose[:, prior.joints])


def test_a_flow_is_read_as_it_was_written(flow, tmp_path):
    path = tmp_path / "flow.safetensors"
    write_weights(path, flow.state_dict(), {"config": vars(flow.config)})
    again = PoseFlow.load(path)
    pose = random_pose(4).float()
    torch.testing.assert_close(again.latent(pose), flow.latent(pose.double()).float())
    assert again.joints == flow.joints == tuple(JOINT_INDEX[name] - 1 for name in JOINTS)


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_damaged_flow_says_so(damage, tmp_path):
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
