"""Laws of the descent: derivatives, energies, and fits that come home."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from builders import CAMERA, evidence_of, mini_reduced_body, pa_mpjpe_mm, random_variables, walk

from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import BLAZEPOSE_NAMES
from hund_backend.descent import losses
from hund_backend.descent.fit.energy import Energy, EnergyConfig
from hund_backend.descent.fit.fit import FitConfig, fit
from hund_backend.descent.fit.linearization import linearize
from hund_backend.descent.fit.pose_anchor import PoseAnchor, unobserved_fraction
from hund_backend.descent.fit.solver import SolverConfig
from hund_backend.descent.fit.windows import windows
from hund_backend.descent.reduced_body import REDUCED_JOINTS, FitVariables, ReducedBody
from hund_backend.descent.state import State
from hund_backend.descent.targets import Targets
from hund_backend.prior.dynamics import Dynamics, DynamicsConfig
from hund_backend.prior.gaussian import GaussianPrior
from hund_backend.prior.limits import JointLimits
from hund_backend.prior.pose_flow import WEIGHTS_FILE, PoseFlow

FPS = 30.0
QUICK = FitConfig(
    start_steps=SolverConfig(iterations=6),
    build_steps=SolverConfig(iterations=6),
    coarse_steps=SolverConfig(iterations=4),
    fine_steps=SolverConfig(iterations=8),
)


@pytest.fixture(scope="module")
def prior():
    return GaussianPrior.load().double()


@pytest.fixture(scope="module")
def body():
    return BodyModel.load("keypoints")


def objective_of(prior, frames=4, noise=0.01, **changes):
    """An objective of a small puppet, and a posture that is not what was seen."""
    reduced_body = mini_reduced_body()
    truth = random_variables(reduced_body, frames, seed=1)
    evidence = evidence_of(reduced_body, truth, noise=noise)
    targets = Targets.of(evidence, np.repeat(CAMERA[None], frames, axis=0), reduced_body)
    objective = Energy(
        reduced_body=reduced_body,
        prior=prior,
        limits=JointLimits(torch.float64),
        targets=targets,
        config=EnergyConfig(),
        **changes,
    )
    return objective, random_variables(reduced_body, frames, seed=2)


def some_dynamics(latent):
    """Dynamics that expect something, if nothing sensible."""
    dynamics = Dynamics(DynamicsConfig(latent=latent, hidden=16)).double()
    torch.manual_seed(0)
    for values in dynamics.parameters():
        values.data += 0.05 * torch.randn_like(values)
    return dynamics.requires_grad_(False)


def some_anchor(frames=4):
    """Something else was believed, some of it with doubt."""
    believed = random_variables(mini_reduced_body(), frames, seed=5).rotations
    unobserved = torch.linspace(0, 1, believed[..., 0, 0].numel()).double()
    return PoseAnchor(rotations=believed, unobserved=unobserved.reshape(believed.shape[:2]))


# The build is solved while frames are independent; motion ties them once it is known.
@pytest.mark.parametrize(
    "changes",
    [
        {"fps": FPS},
        {"solves_betas": True},
        {"fps": 50.0, "dynamics": some_dynamics(63)},
        {"fps": FPS, "anchor": some_anchor()},
    ],
)
def test_the_written_gradient_is_autograds(changes, prior):
    objective, variables = objective_of(prior, **changes)
    unknowns = 3 * len(objective.reduced_body.parents) + 3
    step = torch.zeros(4, unknowns, dtype=torch.float64, requires_grad=True)
    betas = torch.zeros_like(variables.betas).requires_grad_()
    objective.energies(variables.moved(step, betas)).sum().backward()
    equations = linearize(objective, variables)
    assert (equations.gradient - step.grad).abs().max() < 1e-5 * step.grad.abs().max()
    if objective.solves_betas:
        gap = (equations.betas_gradient - betas.grad).abs().max()
        assert gap < 1e-5 * betas.grad.abs().max()


def test_the_puppet_is_the_body(body):
    """Points and joints of the puppet are those of the full model, for any build and pose."""
    reduced_body = ReducedBody.from_body(body)
    variables = random_variables(reduced_body, 3)
    figure = reduced_body.posed(variables)
    double = BodyModel.load("keypoints").double()
    posed = double(
        reduced_body.pose(variables),
        variables.betas.expand(3, -1),
        global_orient=variables.rotations[:, 0],
        root_translation=variables.translation,
    )
    torch.testing.assert_close(figure.joints, posed.joints[:, list(reduced_body.moved)])
    points = double.keypoints(posed, "blazepose")
    torch.testing.assert_close(figure.points[:, :33], points)


def test_evidence_costs_nothing_at_the_truth(prior):
    reduced_body = mini_reduced_body()
    truth = random_variables(reduced_body, 3)
    evidence = evidence_of(reduced_body, truth)
    intrinsics = np.repeat(CAMERA[None], 3, axis=0)
    objective = dataclasses.replace(
        objective_of(prior, frames=3)[0], targets=Targets.of(evidence, intrinsics, reduced_body)
    )
    assert objective.keypoint_residuals(reduced_body.posed(truth)).abs().max() < 1e-9


@pytest.mark.parametrize("kernel", [losses.geman_mcclure, losses.charbonnier])
def test_kernels_are_squares_where_small_and_their_weights_are_derivatives(kernel):
    squares = torch.linspace(0, 50, 101, dtype=torch.float64, requires_grad=True)
    rho, weights = kernel(squares, 3.0)
    rho.sum().backward()
    torch.testing.assert_close(weights, squares.grad)
    tiny = torch.tensor([1e-6], dtype=torch.float64)
    torch.testing.assert_close(kernel(tiny, 3.0)[0], tiny)
    assert (rho.diff() > 0).all()


def fitted(body, prior, evidence, fps=FPS, config=QUICK, **told):
    intrinsics = np.repeat(CAMERA[None], len(evidence.frames), axis=0)
    return fit(evidence, intrinsics, fps, body, prior, config, **told)


def joints_of(body, state):
    posed = state.posed(body)
    return posed.joints


@pytest.fixture(scope="module")
def walk_and_fit(body, prior):
    reduced_body = ReducedBody.from_body(body)
    truth = walk(reduced_body, prior, 12)
    return reduced_body, truth, fitted(body, prior, evidence_of(reduced_body, truth, noise=0.005))


def test_a_fit_comes_back_to_the_pose_that_was_seen(walk_and_fit, body):
    reduced_body, truth, result = walk_and_fit
    found = joints_of(body, result.state)[:, list(reduced_body.moved)]
    assert pa_mpjpe_mm(found, reduced_body.posed(truth).joints).mean() < 40


def test_the_energy_falls_from_stage_to_stage(walk_and_fit):
    totals = walk_and_fit[2].stage_losses.sum((0, 2))
    assert (totals[1:] <= totals[:-1] * 1.2).all()  # stages differ in what they minimise
    assert totals[-1] < 0.2 * totals[0]


def test_confidence_is_a_confidence(walk_and_fit):
    confidence = walk_and_fit[2].joint_confidence
    assert confidence.shape == (12, 63)
    assert confidence.min() >= 0
    assert confidence.max() <= 1


def test_a_fit_is_deterministic(walk_and_fit, body, prior):
    reduced_body, truth, result = walk_and_fit
    again = fitted(body, prior, evidence_of(reduced_body, truth, noise=0.005))
    torch.testing.assert_close(again.state.pose, result.state.pose, atol=0, rtol=0)


def test_nothing_seen_gives_no_nan(body, prior):
    reduced_body = ReducedBody.from_body(body)
    evidence = evidence_of(reduced_body, walk(reduced_body, prior, 5))
    keypoints = evidence.keypoints.copy()
    keypoints[..., 2] = 0
    blind = dataclasses.replace(evidence, keypoints=keypoints, observed=np.zeros(5, bool))
    result = fitted(body, prior, blind)
    assert all(torch.isfinite(values).all() for values in vars(result.state).values())


def test_a_bridged_gap_lies_between_its_ends(body, prior):
    reduced_body = ReducedBody.from_body(body)
    truth = walk(reduced_body, prior, 12)
    evidence = evidence_of(reduced_body, truth)
    observed, keypoints = np.ones(12, bool), evidence.keypoints.copy()
    observed[5:8] = False
    keypoints[5:8, :, 2] = 0
    gap = dataclasses.replace(evidence, observed=observed, keypoints=keypoints)
    result = fitted(body, prior, gap)
    steps = joints_of(body, result.state)[:, 0].diff(dim=0).norm(dim=-1)
    assert steps.max() < 4 * steps.median()


def test_dynamics_fill_a_gap_with_what_they_expect(body):
    flow, dynamics = PoseFlow.load().double(), Dynamics.load(WEIGHTS_FILE).double()
    reduced_body = ReducedBody.from_body(body)
    evidence = evidence_of(reduced_body, walk(reduced_body, GaussianPrior.load().double(), 12))
    observed, keypoints = np.ones(12, bool), evidence.keypoints.copy()
    observed[5:8] = False
    keypoints[5:8, :, 2] = 0
    gap = dataclasses.replace(evidence, observed=observed, keypoints=keypoints)

    def surprise(**told):
        pose = fitted(body, flow, gap, **told).state.pose.double()
        latents = flow.latent(pose)
        spread = dynamics.typical_log_variance(FPS).expand(10, latents.shape[-1])
        return dynamics.residuals(latents, spread, None, FPS)[4:7].square().sum()

    assert surprise(dynamics=dynamics) < surprise()


def test_a_clip_backwards_is_the_motion_backwards(walk_and_fit, body, prior):
    """No frame is privileged: what comes first gets no other answer than what comes last."""
    reduced_body, truth, result = walk_and_fit
    evidence = evidence_of(reduced_body, truth, noise=0.005)
    names = ("observed", "keypoints", "world_landmarks", "crops", "crop_intrinsics", "masks")
    turned = {name: getattr(evidence, name)[::-1].copy() for name in names}
    backwards = fitted(body, prior, dataclasses.replace(evidence, **turned))
    found = joints_of(body, backwards.state).flip(0)
    assert (found - joints_of(body, result.state)).norm(dim=-1).mean() < 0.01  # metres


def test_cut_into_windows_a_fit_is_that_of_the_whole(walk_and_fit, body, prior):
    reduced_body, truth, result = walk_and_fit
    cut = dataclasses.replace(QUICK, window=8, overlap=4)
    evidence = evidence_of(reduced_body, truth, noise=0.005)
    found = joints_of(body, fitted(body, prior, evidence, config=cut).state)
    assert (found - joints_of(body, result.state)).norm(dim=-1).mean() < 0.01  # metres


def test_what_the_report_raises_ends_a_fit(walk_and_fit, body, prior):
    class CancelError(Exception):
        """What a cancel raises."""

    def report(iteration):
        if iteration == 3:
            raise CancelError

    reduced_body, truth, _ = walk_and_fit
    intrinsics, threads = np.repeat(CAMERA[None], 12, axis=0), torch.get_num_threads()
    with pytest.raises(CancelError):
        fit(evidence_of(reduced_body, truth), intrinsics, FPS, body, prior, QUICK, report)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("frames", "size", "overlap"), [(5, 300, 40), (700, 300, 40), (301, 300, 40)]
)
def test_windows_keep_every_frame_once(frames, size, overlap):
    kept = [np.arange(w.start + w.tied, w.keep) for w in windows(frames, size, overlap)]
    np.testing.assert_array_equal(np.concatenate(kept), np.arange(frames))


def test_a_step_of_nothing_moves_nothing():
    reduced_body = mini_reduced_body()
    variables = random_variables(reduced_body, 2)
    still = variables.moved(torch.zeros(2, 69, dtype=torch.float64), torch.zeros(2).double())
    assert isinstance(still, FitVariables)
    for before, after in zip(variables, still, strict=True):
        torch.testing.assert_close(before, after)


def test_what_hangs_on_hidden_keypoints_is_doubted():
    confidence = torch.ones(2, 33)
    confidence[:, BLAZEPOSE_NAMES.index("left_knee")] = 0
    unobserved = unobserved_fraction(confidence)
    thigh = REDUCED_JOINTS.index("ThighL")
    assert (unobserved[:, thigh] == 1).all()
    others = [i for i in range(len(REDUCED_JOINTS)) if i != thigh]
    assert unobserved[:, others].abs().max() < 1e-6


def test_a_polish_leaves_what_nobody_sees(body, prior):
    """Legs that are never seen stay where the start had them; without the anchor they move."""
    reduced_body = ReducedBody.from_body(body)
    variables = walk(reduced_body, copy.deepcopy(prior).double(), 12)
    seen = evidence_of(reduced_body, variables, noise=0.01)
    legs = [i for i, name in enumerate(BLAZEPOSE_NAMES) if "knee" in name or i > 26]
    keypoints = seen.keypoints.copy()
    keypoints[:, legs, 2] = 0
    seen = dataclasses.replace(seen, keypoints=keypoints)
    start = State(
        pose=reduced_body.pose(variables).float(),
        betas=variables.betas.expand(12, -1).float(),
        global_orient=variables.rotations[:, 0].float(),
        root_translation=variables.translation.float(),
    )
    shins = [reduced_body.moved[REDUCED_JOINTS.index(f"Calf{side}")] - 1 for side in "LR"]
    intrinsics, moved = np.repeat(CAMERA[None], 12, axis=0), []
    for weight in (0.0, 1.0):
        config = FitConfig(energy=EnergyConfig(anchor=weight))
        found = fit(seen, intrinsics, FPS, body, prior, config, start=start).state
        moved.append(float((found.pose - start.pose)[:, shins].square().mean()))
    assert moved[1] < 0.5 * moved[0]
