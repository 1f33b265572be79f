"""Laws of the fit: derivatives, energies, and recovery of known motion."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from builders import QUICK_FIT, evidence_of, mini_reduced_body, pa_mpjpe_mm, random_variables, walk
from scipy.interpolate import CubicSpline

from hund_backend.body.center_of_mass import GRAVITY, mass_weights
from hund_backend.body.contact_points import CONTACT_NAMES
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import BLAZEPOSE_NAMES, JOINT_NAMES
from hund_backend.descent.body_contacts import BodyContacts
from hund_backend.descent.expected_betas import ExpectedBetas
from hund_backend.descent.fit.activity import ActivityConfig, local_accelerations
from hund_backend.descent.fit.energy import TERMS, Energy, EnergyConfig, build_terms
from hund_backend.descent.fit.fit import DepthEvidence, FitConfig, fit
from hund_backend.descent.fit.linearization import EvaluationPoint
from hund_backend.descent.fit.solver import NormalEquations, SolverConfig
from hund_backend.descent.fit.terms.betas import size_direction
from hund_backend.descent.fit.terms.depth_anchor import DepthAnchor, DepthAnchorTerm
from hund_backend.descent.fit.terms.evidence import KeypointTerm
from hund_backend.descent.fit.terms.kernels import charbonnier, geman_mcclure
from hund_backend.descent.fit.terms.pose_anchor import PoseAnchor, PoseAnchorConfig
from hund_backend.descent.fit.windows import windows
from hund_backend.descent.joint_confidence import unobserved_fraction
from hund_backend.descent.keypoints import bone_length
from hund_backend.descent.reduced_body import REDUCED_JOINTS, FitVariables, ReducedBody
from hund_backend.descent.state import State
from hund_backend.descent.targets import Targets
from hund_backend.prior.dynamics import Dynamics, DynamicsConfig
from hund_backend.prior.gaussian import GaussianPrior
from hund_backend.prior.limits import JointLimits
from hund_backend.prior.pose_flow import PoseFlow

FPS = 30.0


@pytest.fixture(scope="module")
def prior():
    return GaussianPrior.load().double()


@pytest.fixture(scope="module")
def body():
    return BodyModel.load("keypoints")


def energy_and_variables(prior, frames=4, *, solves_betas=False, fps=None, **terms):
    """An energy of a small body, and variables that do not match its evidence."""
    reduced_body = mini_reduced_body()
    evidence = evidence_of(
        reduced_body, random_variables(reduced_body, frames, seed=1), noise=0.01
    )
    terms = build_terms(
        EnergyConfig(),
        targets=Targets.from_evidence(evidence, reduced_body),
        prior=prior,
        limits=JointLimits(torch.float64),
        fps=fps,
        **terms,
    )
    energy = Energy(
        terms=terms,
        reduced_body=reduced_body,
        prior=prior,
        coupled=fps is not None,
        solves_betas=solves_betas,
    )
    return energy, random_variables(reduced_body, frames, seed=2)


def random_dynamics(latent):
    """Untrained dynamics."""
    torch.manual_seed(0)
    dynamics = Dynamics(DynamicsConfig(latent=latent, hidden=16)).double()
    for values in dynamics.parameters():
        values.data += 0.05 * torch.randn_like(values)
    return dynamics.requires_grad_(False)


def random_anchor(frames=4):
    """Other rotations, observed to different degrees."""
    rotations = random_variables(mini_reduced_body(), frames, seed=5).rotations
    unobserved = torch.linspace(0, 1, rotations[..., 0, 0].numel()).double()
    return PoseAnchor(rotations=rotations, unobserved=unobserved.reshape(rotations.shape[:2]))


def random_expected_betas():
    """A body shape, more certain in some directions than in others."""
    generator = torch.Generator().manual_seed(8)
    count = len(mini_reduced_body().offset_basis)
    mean, *directions = torch.randn(1 + count, count, generator=generator, dtype=torch.float64)
    directions = torch.stack(directions)
    return ExpectedBetas(mean=mean, precision=directions.T @ directions)


def random_depth_anchor(frames=4):
    """Depths of other poses."""
    reduced_body = mini_reduced_body()
    return DepthAnchor.of(reduced_body.forward(random_variables(reduced_body, frames, seed=5)))


def random_contacts(frames=4):
    """Points that bear and rest on floor and levels to different degrees; some are below it."""
    generator = torch.Generator().manual_seed(6)
    bearing, share, other = torch.rand(3, frames, 12, generator=generator, dtype=torch.float64)
    return BodyContacts(
        bearing=bearing,
        on_floor=bearing * share,
        over_floor=share,
        on_level=bearing * other,
        levels=2.5 + other,
        airborne=share[:, 0],
        up=torch.tensor([0.0, -0.6, 0.8], dtype=torch.float64),
        floor=2.5,
    )


def contacts_at(up, floor, frames, **given):
    """Contacts over a floor, all zero but those given."""
    nothing = torch.zeros(frames, len(CONTACT_NAMES), dtype=torch.float64)
    values = dict.fromkeys(("bearing", "on_floor", "over_floor", "on_level", "levels"), nothing)
    return BodyContacts(**values | {"airborne": nothing[:, 0], "up": up, "floor": floor} | given)


def state_of(reduced_body, variables):
    """States of all frames from the variables of a fit."""
    return State(
        pose=reduced_body.full_pose(variables).float(),
        betas=variables.betas.float().expand(len(variables.rotations), -1),
        global_orient=variables.rotations[:, 0].float(),
        root_translation=variables.translation.float(),
    )


def random_activity(frames=4):
    """Accelerations of every joint in every frame, m/s²."""
    generator = torch.Generator().manual_seed(7)
    joints = len(mini_reduced_body().parents)
    return 1 + 5 * torch.rand(frames, joints, generator=generator, dtype=torch.float64)


# Betas are solved for while frames are independent; with known betas frames are coupled.
@pytest.mark.parametrize(
    "changes",
    [
        {"fps": FPS},
        {"solves_betas": True},
        {"fps": 50.0, "dynamics": random_dynamics(63)},
        {"fps": FPS, "anchor": random_anchor()},
        {"solves_betas": True, "depth_anchor": random_depth_anchor()},
        {"solves_betas": True, "expected_betas": random_expected_betas()},
        {"fps": 24.0, "contacts": random_contacts(), "contact_points": mini_reduced_body()},
        {"fps": FPS, "activity": random_activity()},
    ],
)
def test_gradient_equals_autograd(changes, prior):
    energy, variables = energy_and_variables(prior, **changes)
    unknowns = 3 * len(energy.reduced_body.parents) + 3
    step = torch.zeros(4, unknowns, dtype=torch.float64, requires_grad=True)
    betas = torch.zeros_like(variables.betas).requires_grad_()
    energy.energies(variables.apply_step(step, betas)).sum().backward()
    equations = energy.normal_equations(variables)
    assert (equations.gradient - step.grad).abs().max() < 1e-5 * step.grad.abs().max()
    if energy.solves_betas:
        gap = (equations.betas_gradient - betas.grad).abs().max()
        assert gap < 1e-5 * betas.grad.abs().max()


def test_reduced_body_equals_body_model(body):
    """Points and joints are those of the full model, for any betas and pose."""
    reduced_body = ReducedBody.from_body(body)
    variables = random_variables(reduced_body, 3)
    posed_reduced = reduced_body.forward(variables)
    double = BodyModel.load("keypoints").double()
    posed = double(
        reduced_body.full_pose(variables),
        variables.betas.expand(3, -1),
        global_orient=variables.rotations[:, 0],
        root_translation=variables.translation,
    )
    torch.testing.assert_close(
        posed_reduced.joints, posed.joints[:, list(reduced_body.joint_indices)]
    )
    points = double.keypoints(posed, "blazepose")
    torch.testing.assert_close(posed_reduced.points[:, :33], points)


def test_keypoint_residuals_vanish_at_the_truth():
    reduced_body = mini_reduced_body()
    truth = random_variables(reduced_body, 3)
    targets = Targets.from_evidence(evidence_of(reduced_body, truth), reduced_body)
    term = KeypointTerm(config=EnergyConfig().keypoints, targets=targets)
    assert term.residuals(reduced_body.forward(truth)).abs().max() < 1e-9


@pytest.mark.parametrize(
    "changes", [{}, {"fps": FPS}, {"fps": FPS, "dynamics": random_dynamics(63)}]
)
def test_energy_is_the_sum_of_its_terms(changes, prior):
    energy, variables = energy_and_variables(
        prior, anchor=random_anchor(), depth_anchor=random_depth_anchor(), **changes
    )
    columns = dict(zip(TERMS, energy.energies(variables).T, strict=True))
    at = EvaluationPoint(variables, energy.reduced_body, energy.prior)
    for term in energy.terms:
        for name, values in zip(term.names, term.energies(at), strict=True):
            torch.testing.assert_close(columns.pop(name), values)
    assert all((values == 0).all() for values in columns.values())


def test_rigid_invariant_terms_do_not_change_with_a_rigid_motion(prior):
    energy, variables = energy_and_variables(prior)
    moved = random_variables(energy.reduced_body, 4, seed=7)
    rotations = torch.cat((moved.rotations[:, :1], variables.rotations[:, 1:]), dim=1)
    moved = FitVariables(rotations, moved.translation, variables.betas)
    for term in filter(lambda term: term.rigid_invariant, energy.terms):
        before, after = (
            term.energies(EvaluationPoint(at, energy.reduced_body, energy.prior))[0]
            for at in (variables, moved)
        )
        torch.testing.assert_close(before, after)


@pytest.mark.parametrize("kernel", [geman_mcclure, charbonnier])
def test_kernels_are_squares_near_zero_and_weights_are_derivatives(kernel):
    squares = torch.linspace(0, 50, 101, dtype=torch.float64, requires_grad=True)
    rho, weights = kernel(squares, 3.0)
    rho.sum().backward()
    torch.testing.assert_close(weights, squares.grad)
    tiny = torch.tensor([1e-6], dtype=torch.float64)
    torch.testing.assert_close(kernel(tiny, 3.0)[0], tiny)
    assert (rho.diff() > 0).all()


def fitted(body, prior, evidence, fps=FPS, config=QUICK_FIT, **inputs):
    return fit(evidence, fps, body, prior, config, **inputs)


def joints_of(body, state):
    posed = state.posed(body)
    return posed.joints


@pytest.fixture(scope="module")
def walk_and_fit(body, prior):
    reduced_body = ReducedBody.from_body(body)
    truth = walk(reduced_body, prior, 12)
    return reduced_body, truth, fitted(body, prior, evidence_of(reduced_body, truth, noise=0.005))


def test_fit_recovers_a_known_motion(walk_and_fit, body):
    reduced_body, truth, result = walk_and_fit
    found = joints_of(body, result.state)[:, list(reduced_body.joint_indices)]
    assert pa_mpjpe_mm(found, reduced_body.forward(truth).joints).mean() < 40


def test_soles_in_contact_keep_their_place_and_lie_on_the_floor(body, prior):
    reduced_body = ReducedBody.from_body(body)
    sliding = walk(reduced_body, prior, 12, fps=240.0)  # feet that move by a centimeter a frame
    evidence = evidence_of(reduced_body, sliding, noise=0.002)
    initial = state_of(reduced_body, sliding)
    up = torch.tensor([0.0, -1, 0], dtype=torch.float64)

    def soles_of(state):
        return body.soles(state.posed(body)).double()

    before = soles_of(initial)
    bearing = torch.zeros(len(before), len(CONTACT_NAMES), dtype=torch.float64)
    held = slice(3, 9)
    bearing[held, :3] = 1  # the left foot
    floor = float((before[held, :3] @ up).mean())
    everywhere = torch.ones_like(bearing)
    contacts = contacts_at(up, floor, 12, bearing=bearing, on_floor=bearing, over_floor=everywhere)
    settled = fitted(body, prior, evidence, initial=initial, contacts=contacts)
    after = soles_of(settled.state)

    def travel(soles):
        return (soles[held, :3].diff(dim=0)).norm(dim=-1).mean()

    assert travel(after) < 0.2 * travel(before)
    heights = after[held, :3] @ up - floor
    assert heights.abs().mean() < 0.8 * (before[held, :3] @ up - floor).abs().mean()
    assert settled.state.betas.equal(initial.betas)


def test_a_person_below_the_floor_that_they_left_stays_there(body, prior):
    """Somebody who has jumped from a roof is not raised to it."""
    reduced_body = ReducedBody.from_body(body)
    motion = walk(reduced_body, prior, 6)
    state = state_of(reduced_body, motion)
    up = torch.tensor([0.0, -1, 0], dtype=torch.float64)
    floor = float((body.soles(state.posed(body)).double() @ up).max()) + 2.5
    evidence = evidence_of(reduced_body, motion)
    settled = fitted(body, prior, evidence, initial=state, contacts=contacts_at(up, floor, 6))
    assert (settled.state.root_translation - state.root_translation).norm(dim=-1).max() < 0.1


@pytest.mark.parametrize("point", ["left_hand", "right_knee", "left_seat"])
def test_a_point_that_bears_keeps_its_place_within_its_run_alone(body, prior, point):
    reduced_body, frames = ReducedBody.from_body(body), 20
    moving = walk(reduced_body, prior, frames, fps=240.0)
    initial = state_of(reduced_body, moving)
    column, held = CONTACT_NAMES.index(point), slice(7, 13)

    def places(state):
        return body.contact_points(state.posed(body)).double()[:, column]

    bearing = torch.zeros(frames, len(CONTACT_NAMES), dtype=torch.float64)
    bearing[held, column] = 1
    up = torch.tensor([0.0, -1, 0], dtype=torch.float64)
    level = places(initial)[held] @ up
    # A support a meter over the floor: height comes from it, not from the floor.
    contacts = contacts_at(
        up,
        float(level.mean()) - 1,
        frames,
        bearing=bearing,
        on_level=bearing,
        levels=level.mean() * torch.ones_like(bearing),
    )
    evidence = evidence_of(reduced_body, moving, noise=0.002)
    settled = places(fitted(body, prior, evidence, initial=initial, contacts=contacts).state)
    before = places(initial)[held].diff(dim=0).norm(dim=-1).mean()
    assert settled[held].diff(dim=0).norm(dim=-1).mean() < 0.3 * before
    assert (settled[held] @ up - level.mean()).abs().mean() < 0.02
    # Elsewhere it moves as far as without the contact.
    free = places(
        fitted(
            body, prior, evidence, initial=initial, contacts=contacts_at(up, -100.0, frames)
        ).state
    )
    outside, expected = (
        each[[0, 1, -2, -1]].diff(dim=0)[[0, 2]].norm(dim=-1) for each in (settled, free)
    )
    assert (outside > 0.5 * expected).all(), (outside, expected)


@pytest.mark.parametrize("fps", [24.0, 60.0])
def test_a_person_in_flight_falls_with_gravity(body, prior, fps):
    """Noise of the detections hardly shakes a hop whose flight is known."""
    reduced_body = ReducedBody.from_body(body)
    frames = round(0.7 * fps)
    seconds = torch.arange(frames, dtype=torch.float64) / fps
    airborne = (seconds > 0.15) & (seconds < 0.55)
    rise = 0.5 * GRAVITY * (seconds - 0.15) * (0.55 - seconds) * airborne
    hop = walk(reduced_body, prior, 1).select(torch.zeros(frames, dtype=torch.int64))
    shift = torch.stack((0 * rise, -rise, 0 * rise), dim=-1)
    hop = hop._replace(translation=hop.translation + shift)
    up = torch.tensor([0.0, -1, 0], dtype=torch.float64)
    evidence = evidence_of(reduced_body, hop, noise=0.03)

    def error(flies):
        contacts = contacts_at(up, -100.0, frames, airborne=flies)
        initial = state_of(reduced_body, hop)
        state = fitted(body, prior, evidence, initial=initial, contacts=contacts, fps=fps).state
        center = torch.einsum(
            "j,fjx->fx",
            torch.from_numpy(mass_weights(JOINT_NAMES)),
            state.posed(body).joints.double(),
        )
        acceleration = (center[:-2] - 2 * center[1:-1] + center[2:]) * fps**2
        inner = airborne[:-2] & airborne[1:-1] & airborne[2:]
        return (acceleration + GRAVITY * up)[inner].norm(dim=-1).mean()

    assert error(airborne.double()) < 0.5 * error(torch.zeros(frames).double())


def test_differences_equal_their_sum_in_time():
    """Adding weights of pairs of frames first changes nothing."""
    generator = torch.Generator().manual_seed(0)
    stencil, unknowns = (1.0, -2.0, 1.0), 9
    jacobian = torch.randn(6, 4, 3, unknowns, generator=generator, dtype=torch.float64)
    residuals = torch.randn(4, 4, 3, generator=generator, dtype=torch.float64)
    weights = torch.rand(4, 4, generator=generator, dtype=torch.float64)
    found, expected = (NormalEquations.zeros(6, unknowns, 1, jacobian) for _ in range(2))
    for equations in (found, expected):
        equations.couple()
    found.add_differences(residuals, jacobian, weights, stencil)
    rows = weights.sqrt()[..., None]
    blocks = [
        (factor * rows[..., None] * jacobian[first : first + 4]).flatten(1, 2)
        for first, factor in enumerate(stencil)
    ]
    expected.add_in_time((rows * residuals).flatten(1), blocks)
    torch.testing.assert_close(found.gradient, expected.gradient)
    torch.testing.assert_close(found.hessian, expected.hessian)
    torch.testing.assert_close(found.off_diagonal, expected.off_diagonal)


def test_energy_of_a_second_does_not_depend_on_the_frame_rate():
    """At twice the rate, what lasts over two frames weighs as much as one frame did."""
    config = EnergyConfig()
    assert config.at_rate(30.0) == config
    for slow, fast in ((24.0, 48.0), (30.0, 60.0), (120.0, 240.0)):
        before, after = config.at_rate(slow), config.at_rate(fast)
        for name in ("keypoints", "prior", "acceleration", "dynamics", "anchor"):
            ratio = getattr(after, name).weight / getattr(before, name).weight
            assert 0.48 < ratio < 0.52
        heights = (before.contacts.height / after.contacts.height) ** 2
        assert 0.48 < heights < 0.52
    lasting = dataclasses.replace(config.keypoint_steps, white=0.0)
    assert lasting.step_noise(60.0) == pytest.approx(lasting.step_noise(30.0) / 2**0.5, rel=0.02)


def test_activity_follows_the_motion_at_any_frame_rate():
    """Still joints are expected to stay still, fast ones to be fast, at 30 and at 120 frames."""
    found = []
    for fps in (30.0, 120.0):
        times = torch.arange(0, 4, 1 / fps, dtype=torch.float64)
        joints = torch.zeros(len(times), len(REDUCED_JOINTS), 3, dtype=torch.float64)
        swing = 0.3 * torch.sin(2 * torch.pi * 2 * times) * (times > 2)
        joints[:, REDUCED_JOINTS.index("HandL"), 0] = swing
        found.append(local_accelerations(joints, fps, ActivityConfig())[:: round(fps / 30)])
    hand = found[0][:, REDUCED_JOINTS.index("HandL")]
    assert hand[80:110].min() > 5 * hand[10:40].max()
    other = found[0][:, REDUCED_JOINTS.index("HandR")]
    assert (other == other[0]).all()
    ratio = found[1][10:110] / found[0][10:110]
    assert ratio.min() > 0.8
    assert ratio.max() < 1.25


def test_fit_at_twice_the_rate_gives_the_same_motion(body, prior):
    """The same motion with the same lasting errors, at 30 and at 60 frames a second."""
    reduced_body = ReducedBody.from_body(body)
    slow = walk(reduced_body, prior, 12)
    evidence = evidence_of(reduced_body, slow, noise=0.005)
    fast = resampled_evidence(evidence, np.linspace(0, 11, 23))
    found = [
        joints_of(body, fit(each, fps, body, prior, QUICK_FIT).state)
        for each, fps in ((evidence, FPS), (fast, 2 * FPS))
    ]
    difference = (found[1][::2] - found[0]).norm(dim=-1)
    assert difference.mean() < 0.015  # metres


def resampled_evidence(evidence, times):
    """Evidence at other times, in frames, with errors that lie between those of the frames."""
    frames = np.arange(len(evidence.frames))
    nearest = times.round().astype(int)
    names = ("keypoints", "world_landmarks", "crops", "intrinsics")
    between = {
        name: CubicSpline(frames, getattr(evidence, name).astype(np.float64))(times)
        for name in names
    }
    between["keypoints"][..., 2] = between["keypoints"][..., 2].clip(0, 1)
    return dataclasses.replace(
        evidence,
        frames=np.arange(len(times)),
        observed=evidence.observed[nearest],
        masks=evidence.masks[nearest],
        **between,
    )


def test_smoothing_scales_the_terms_of_motion_alone():
    config = EnergyConfig()
    assert config.smoothed(1.0) == config
    none = config.smoothed(0.0)
    assert none.acceleration.weight == none.dynamics.weight == 0
    assert none.angular_acceleration.weight == 0
    names = ("acceleration", "angular_acceleration", "dynamics")
    unchanged = {name: getattr(config, name) for name in names}
    assert dataclasses.replace(none, **unchanged) == config


def test_energy_falls_from_stage_to_stage(walk_and_fit):
    totals = walk_and_fit[2].stage_losses.sum((0, 2))
    assert (totals[1:] <= totals[:-1] * 1.2).all()  # stages differ in what they minimise
    assert totals[-1] < 0.2 * totals[0]


def test_joint_confidence_is_in_range(walk_and_fit):
    confidence = walk_and_fit[2].joint_confidence
    assert confidence.shape == (12, 63)
    assert confidence.min() >= 0
    assert confidence.max() <= 1


def test_fit_is_deterministic(walk_and_fit, body, prior):
    reduced_body, truth, result = walk_and_fit
    again = fitted(body, prior, evidence_of(reduced_body, truth, noise=0.005))
    torch.testing.assert_close(again.state.pose, result.state.pose, atol=0, rtol=0)


def test_no_evidence_gives_finite_states(body, prior):
    reduced_body = ReducedBody.from_body(body)
    evidence = evidence_of(reduced_body, walk(reduced_body, prior, 5))
    keypoints = evidence.keypoints.copy()
    keypoints[..., 2] = 0
    blind = dataclasses.replace(evidence, keypoints=keypoints, observed=np.zeros(5, bool))
    result = fitted(body, prior, blind)
    assert all(torch.isfinite(values).all() for values in vars(result.state).values())


def test_gap_is_bridged_without_jumps(body, prior):
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


def test_dynamics_lower_their_residuals_in_a_gap(body):
    flow = PoseFlow.load().double()
    dynamics = Dynamics.load(flow).double()
    reduced_body = ReducedBody.from_body(body)
    evidence = evidence_of(reduced_body, walk(reduced_body, GaussianPrior.load().double(), 12))
    observed, keypoints = np.ones(12, bool), evidence.keypoints.copy()
    observed[5:8] = False
    keypoints[5:8, :, 2] = 0
    gap = dataclasses.replace(evidence, observed=observed, keypoints=keypoints)

    def residual(**inputs):
        pose = fitted(body, flow, gap, **inputs).state.pose.double()
        latents = flow.latent(pose)
        spread = dynamics.typical_log_variance(FPS).expand(10, latents.shape[-1])
        return dynamics.residuals(latents, spread, None, FPS)[4:7].square().sum()

    assert residual(dynamics=dynamics) < residual()


def test_fit_is_equivariant_to_time_reversal(walk_and_fit, body, prior):
    """No frame is privileged: a reversed clip gives the reversed motion."""
    reduced_body, truth, result = walk_and_fit
    evidence = evidence_of(reduced_body, truth, noise=0.005)
    names = ("observed", "keypoints", "world_landmarks", "crops", "intrinsics", "masks")
    turned = {name: getattr(evidence, name)[::-1].copy() for name in names}
    backwards = fitted(body, prior, dataclasses.replace(evidence, **turned))
    found = joints_of(body, backwards.state).flip(0)
    assert (found - joints_of(body, result.state)).norm(dim=-1).mean() < 0.01  # metres


def test_windowed_fit_equals_whole_fit(walk_and_fit, body, prior):
    reduced_body, truth, result = walk_and_fit
    cut = dataclasses.replace(QUICK_FIT, window=8, overlap_seconds=4 / FPS)
    evidence = evidence_of(reduced_body, truth, noise=0.005)
    found = joints_of(body, fitted(body, prior, evidence, config=cut).state)
    assert (found - joints_of(body, result.state)).norm(dim=-1).mean() < 0.01  # metres


def test_exception_in_report_ends_the_fit(walk_and_fit, body, prior):
    class CancelError(Exception):
        """What a cancel raises."""

    def report(iteration):
        if iteration == 3:
            raise CancelError

    reduced_body, truth, _ = walk_and_fit
    threads = torch.get_num_threads()
    with pytest.raises(CancelError):
        fit(evidence_of(reduced_body, truth), FPS, body, prior, QUICK_FIT, report)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("frames", "size", "overlap"), [(5, 300, 40), (700, 300, 40), (301, 300, 40)]
)
def test_windows_keep_every_frame_once(frames, size, overlap):
    kept = [np.arange(w.start + w.context, w.keep) for w in windows(frames, size, overlap)]
    np.testing.assert_array_equal(np.concatenate(kept), np.arange(frames))


def test_zero_step_changes_nothing():
    reduced_body = mini_reduced_body()
    variables = random_variables(reduced_body, 2)
    unchanged = variables.apply_step(
        torch.zeros(2, 69, dtype=torch.float64), torch.zeros(2).double()
    )
    assert isinstance(unchanged, FitVariables)
    for before, after in zip(variables, unchanged, strict=True):
        torch.testing.assert_close(before, after)


def test_rotations_behind_hidden_keypoints_are_unobserved():
    confidence = torch.ones(2, 33)
    confidence[:, BLAZEPOSE_NAMES.index("left_knee")] = 0
    unobserved = unobserved_fraction(confidence)
    thigh = REDUCED_JOINTS.index("ThighL")
    assert (unobserved[:, thigh] == 1).all()
    others = [i for i in range(len(REDUCED_JOINTS)) if i != thigh]
    assert unobserved[:, others].abs().max() < 1e-6


def test_polish_keeps_unobserved_rotations(body, prior):
    """Legs that are never observed keep their initial rotations; without the anchor they move."""
    reduced_body = ReducedBody.from_body(body)
    variables = walk(reduced_body, copy.deepcopy(prior).double(), 12)
    evidence = evidence_of(reduced_body, variables, noise=0.01)
    legs = [i for i, name in enumerate(BLAZEPOSE_NAMES) if "knee" in name or i > 26]
    keypoints = evidence.keypoints.copy()
    keypoints[:, legs, 2] = 0
    evidence = dataclasses.replace(evidence, keypoints=keypoints)
    initial = State(
        pose=reduced_body.full_pose(variables).float(),
        betas=variables.betas.expand(12, -1).float(),
        global_orient=variables.rotations[:, 0].float(),
        root_translation=variables.translation.float(),
    )
    shins = [reduced_body.joint_indices[REDUCED_JOINTS.index(f"Calf{side}")] - 1 for side in "LR"]
    moved = []
    for weight in (0.0, 1.0):
        config = FitConfig(energy=EnergyConfig(anchor=PoseAnchorConfig(weight=weight)))
        found = fit(evidence, FPS, body, prior, config, initial=initial).state
        moved.append(float((found.pose - initial.pose)[:, shins].square().mean()))
    assert moved[1] < 0.5 * moved[0]


def test_depth_anchor_leaves_moves_across_the_view_and_of_the_whole_body_alone():
    """What turns about the viewing ray through the pelvis keeps all depths."""
    reduced_body = mini_reduced_body()
    variables = random_variables(reduced_body, 3)
    posed = reduced_body.forward(variables)
    term = DepthAnchorTerm(config=EnergyConfig().depth_anchor, anchor=DepthAnchor.of(posed))
    assert term.residuals(posed).abs().max() < 1e-12
    turn = rotvec_to_matrix(0.7 * term.anchor.rays)
    orient = (turn @ variables.rotations[:, 0])[:, None]
    moved = variables._replace(
        rotations=torch.cat((orient, variables.rotations[:, 1:]), dim=1),
        translation=1.3 * variables.translation,
    )
    assert term.residuals(reduced_body.forward(moved)).abs().max() < 1e-9
    mirrored = posed._replace(joints=posed.joints * torch.tensor([1.0, 1, -1]).double())
    assert term.residuals(mirrored).abs().max() > 0.01


def test_polish_of_a_picture_keeps_depths(body, prior):
    """A picture whose keypoints err is explained across the view, not by limbs in depth."""
    reduced_body = ReducedBody.from_body(body)
    truth = walk(reduced_body, copy.deepcopy(prior).double(), 1)
    evidence = evidence_of(reduced_body, truth, noise=0.02)
    initial = state_of(reduced_body, truth)
    before = joints_of(body, initial)[0]
    moved = {}
    for weight in (0.0, 1.0):
        depth_anchor = dataclasses.replace(EnergyConfig().depth_anchor, weight=weight)
        config = FitConfig(energy=EnergyConfig(depth_anchor=depth_anchor))
        found = fit(evidence, FPS, body, prior, config, initial=initial).state
        change = joints_of(body, found)[0] - before
        moved[weight] = (change - change[0]).square().mean(0).sqrt()
    assert moved[1.0][2] < 0.7 * moved[0.0][2]
    assert moved[1.0][0] > 0.3 * moved[0.0][0]


def test_polish_of_a_picture_keeps_the_body_shape_that_the_stages_saw(body, prior):
    """Betas stay near the initial ones, however unusual."""
    reduced_body = ReducedBody.from_body(body)
    truth = walk(reduced_body, copy.deepcopy(prior).double(), 1)
    evidence = evidence_of(reduced_body, truth, noise=0.02)
    initial = state_of(reduced_body, truth)
    initial = dataclasses.replace(initial, betas=torch.full_like(initial.betas, 2.0))
    changes = []
    for weight in (1e-3, EnergyConfig().betas_anchor):
        config = FitConfig(energy=EnergyConfig(betas_anchor=weight))
        found = fit(evidence, FPS, body, prior, config, initial=initial).state
        changes.append(float((found.betas - initial.betas).norm()))
    assert changes[1] < 0.7 * changes[0]


def test_size_direction_is_the_gradient_of_the_length_of_the_bones(body):
    """At rest: finite differences along each of the betas."""
    reduced_body = ReducedBody.from_body(body)
    rest = torch.eye(3).double().repeat(1, len(reduced_body.parents), 1, 1)
    betas = torch.linspace(-1, 1, len(reduced_body.offset_basis), dtype=torch.float64)

    def length(betas):
        variables = FitVariables(rest, torch.tensor([[0.0, 0, 1]]).double(), betas)
        return bone_length(reduced_body.forward(variables).points[0, : len(BLAZEPOSE_NAMES)])

    steps = 1e-4 * torch.eye(len(betas)).double()
    growth = torch.stack([length(betas + step) - length(betas - step) for step in steps])
    direction = size_direction(betas, reduced_body)
    torch.testing.assert_close(direction, growth / growth.norm(), atol=1e-6, rtol=0)


def test_observations_of_betas_add_up_in_any_order():
    """An observation without precision changes nothing."""
    first = random_expected_betas()
    population = ExpectedBetas.of_population(first.mean)
    other = torch.outer(first.mean, first.mean)
    ways = [
        population.observed(first.mean, first.precision).observed(-first.mean, other),
        population.observed(-first.mean, other).observed(first.mean, first.precision),
    ]
    torch.testing.assert_close(ways[0].mean, ways[1].mean)
    torch.testing.assert_close(ways[0].precision, ways[1].precision)
    same = ways[0].observed(first.mean, torch.zeros_like(other))
    torch.testing.assert_close(same.mean, ways[0].mean)


def test_betas_are_those_expected_where_nothing_is_detected(body, prior):
    """Of the person, if given, else of the population; the size is that of the stages, too."""
    reduced_body = ReducedBody.from_body(body)
    truth = walk(reduced_body, copy.deepcopy(prior).double(), 12)
    evidence = evidence_of(reduced_body, truth)
    nothing = dataclasses.replace(evidence, keypoints=evidence.keypoints * (1, 1, 0))
    mean = torch.linspace(-1, 1, len(truth.betas), dtype=torch.float64)
    precision = torch.diag(torch.linspace(0.5, 20, len(mean), dtype=torch.float64))
    expected = ExpectedBetas(mean=mean, precision=precision)
    direction = size_direction(torch.zeros_like(mean), reduced_body)
    initial = state_of(reduced_body, truth._replace(betas=mean + 2 * direction))
    size = size_direction(mean + 2 * direction, reduced_body)
    config = FitConfig(
        energy=EnergyConfig(size_anchor=3.0),
        polish_steps=SolverConfig(iterations=8),
        clip_polish=DepthEvidence(
            stages=dataclasses.replace(DepthEvidence().stages, weight=0.0)
        ),  # depths of the stages depend on their size
    )
    found = fit(nothing, FPS, body, prior, config, initial=initial, expected_betas=expected)
    known = expected.observed(initial.betas[0].double(), 3.0 * torch.outer(size, size))
    torch.testing.assert_close(found.state.betas[0].double(), known.mean, atol=0.01, rtol=0)
    found = fit(nothing, FPS, body, prior, config, initial=initial).state.betas[0].double()
    of_size = 0.75 * (initial.betas[0].double() @ size) * size
    torch.testing.assert_close(found, of_size, atol=0.01, rtol=0)


def test_a_constant_error_does_not_make_more_frames_more_certain_of_a_body_shape(body, prior):
    """A detector that sees the same wrong limbs in every frame changes betas alike in any clip."""
    reduced_body = ReducedBody.from_body(body)
    still = walk(reduced_body, copy.deepcopy(prior).double(), 1)
    other = still._replace(betas=still.betas + 1.0)
    found = []
    for frames in (4, 40):
        repeated = torch.zeros(frames, dtype=torch.int64)
        evidence = evidence_of(reduced_body, other.select(repeated))
        initial = state_of(reduced_body, still.select(repeated))
        found.append(fit(evidence, FPS, body, prior, initial=initial).state.betas[0])
    assert found[1].norm() > 0.01
    torch.testing.assert_close(found[1], found[0], atol=0.02 * float(found[0].norm()), rtol=0)


def test_constant_errors_of_the_landmarks_hardly_move_a_polished_clip(body, prior):
    """Stages have read them: landmarks of another pose in every frame count for little."""
    reduced_body = ReducedBody.from_body(body)
    truth = walk(reduced_body, copy.deepcopy(prior).double(), 12)
    evidence = evidence_of(reduced_body, truth)
    stretched = dataclasses.replace(
        evidence, world_landmarks=evidence.world_landmarks + wrong_depths()
    )
    initial = state_of(reduced_body, truth)
    moved = []
    for landmarks in (DepthEvidence().landmarks, EnergyConfig().landmarks):
        config = FitConfig(clip_polish=DepthEvidence(landmarks=landmarks))
        with_error, without = (
            joints_of(body, fit(each, FPS, body, prior, config, initial=initial).state)
            for each in (stretched, evidence)
        )
        moved.append(float((with_error - without).norm(dim=-1).mean()))
    assert moved[0] < 0.6 * moved[1]


def wrong_depths():
    """Constant errors of landmarks in depth, metres."""
    errors = np.random.default_rng(4).normal(0, 0.1, (len(BLAZEPOSE_NAMES), 1))
    return errors * (0, 0, 1)
