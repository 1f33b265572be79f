"""Gauss–Newton equations of the objective: its residuals' derivatives, multiplied out.

A test holds that the gradient here is autograd's gradient of `Energy.energies`.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from hund_backend.body.camera import project
from hund_backend.descent import losses
from hund_backend.descent.fit.energy import Energy
from hund_backend.descent.fit.jacobian_cache import JacobianCache, pulled_back
from hund_backend.descent.fit.parts import alignment
from hund_backend.descent.fit.solver import NormalEquations
from hund_backend.descent.reduced_body import FitVariables, PosedReducedBody
from hund_backend.descent.targets import NUM_KEYPOINTS
from hund_backend.prior.coordinates import inverse_right_jacobian

STENCIL = (1.0, -2.0, 1.0)  # of a second difference in time


def linearize(
    objective: Energy, variables: FitVariables, slopes: JacobianCache | None = None
) -> NormalEquations:
    """Hessian (without second derivatives of residuals) and gradient of the summed energies.

    Args:
        objective: what is to be lowered.
        posture: where.
        slopes: of the prior's latent, remembered over the steps of a descent.
    """
    figure = objective.reduced_body.posed(variables)
    points = objective.reduced_body.jacobian(figure)
    equations = NormalEquations.zeros(
        len(variables.translation), points.shape[-1], len(variables.betas), points
    )
    builds = objective.reduced_body.betas_jacobian(figure) if objective.solves_betas else None
    _add_keypoints(equations, objective, figure, points, builds)
    _add_landmarks(equations, objective, figure, points, builds)
    if objective.shown is not None:
        _add_alignment(equations, objective, variables, figure)
    if objective.rigid:  # terms that know nothing of place and orientation do not change
        equations.hold_pose()
        return equations
    pose = objective.reduced_body.pose(variables)
    slopes = slopes or JacobianCache(objective.prior)
    moved = _by_unknowns(objective, slopes.at(pose))
    latents = objective.prior.latent(pose)
    weights = objective.prior_weight()
    by_latent = weights[:, None] * latents
    rows = weights[:, None, None].sqrt() * moved
    equations.hessian += rows.mT @ rows
    _add_limits(equations, objective, variables)
    if objective.anchor is not None:
        _add_anchor(equations, objective, variables)
    if builds is not None:
        _add_build(equations, objective, variables)
    if objective.is_coupled:
        equations.couple()
        _add_motion(equations, objective, figure, points)
        if objective.turning_weight > 0:
            _add_turning(equations, objective, variables)
    if objective.follows_dynamics:
        by_latent = by_latent + _add_dynamics(equations, objective, latents, moved)
    by_log_det = -objective.config.prior_volume * weights
    pulled = pulled_back(objective.prior, pose, by_latent, by_log_det)
    equations.gradient += _by_unknowns(objective, pulled)
    equations.hold_frames(objective.frozen)
    return equations


def _add_keypoints(
    equations: NormalEquations,
    objective: Energy,
    figure: PosedReducedBody,
    points: Float[Tensor, "frames points 3 unknowns"],
    builds: Float[Tensor, "frames points 3 betas"] | None,
) -> None:
    config, seen = objective.config, objective.targets
    residuals = objective.keypoint_residuals(figure)
    squares = losses.evidence_squares(residuals, seen.confidence, config.keypoint_noise)
    _, weights = losses.geman_mcclure(squares, config.keypoint_cutoff)
    weights = config.keypoints * seen.confidence * weights
    lens = _projection_jacobian(figure.points[:, :NUM_KEYPOINTS], seen.intrinsics)
    lens = lens / (seen.crop_side[:, None, None, None] * config.keypoint_noise)
    equations.add(
        residuals / config.keypoint_noise,
        lens @ points[:, :NUM_KEYPOINTS],
        weights,
        None if builds is None else lens @ builds[:, :NUM_KEYPOINTS],
    )


def _add_landmarks(
    equations: NormalEquations,
    objective: Energy,
    figure: PosedReducedBody,
    points: Float[Tensor, "frames points 3 unknowns"],
    builds: Float[Tensor, "frames points 3 betas"] | None,
) -> None:
    config, seen = objective.config, objective.targets
    residuals = objective.landmark_residuals(figure)
    squares = losses.evidence_squares(residuals, seen.confidence, config.landmark_noise)
    _, weights = losses.geman_mcclure(squares, config.landmark_cutoff)
    weights = config.landmarks * seen.confidence * weights

    def hip_centered(jacobian: Tensor) -> Tensor:
        hips = jacobian[:, losses.HIPS, :, :].mean(1, keepdim=True)
        return (jacobian[:, :NUM_KEYPOINTS] - hips) / config.landmark_noise

    moved = None if builds is None else hip_centered(builds)
    equations.add(residuals / config.landmark_noise, hip_centered(points), weights, moved)


def _add_alignment(
    equations: NormalEquations, objective: Energy, variables: FitVariables, figure: PosedReducedBody
) -> None:
    surface, reduced_body, spots = objective.surface, objective.reduced_body, objective.shown.spots
    seen, betas = objective.targets.parts, variables.betas
    points = surface.places(spots, figure, betas)
    places = project(points, seen.camera)
    slope, stiffness = alignment.pulls(places, objective.shown, seen, *objective.kernels)
    # Where regions overlap nothing pulls: only the others are differentiated.
    strength = stiffness.diagonal(dim1=-2, dim2=-1).sum(-1)
    count = int((strength > 0).sum(1).max())
    strength, chosen = strength.topk(count, dim=1)
    frame = torch.arange(len(points))[:, None]
    spots, slope, stiffness = spots.at(chosen), slope[frame, chosen], stiffness[frame, chosen]
    # ½ ‖Lᵀ dx + L⁻¹ g‖² has the slope g and the stiffness L Lᵀ.
    softest = 1e-6 * strength + 1e-9
    factor = torch.linalg.cholesky(
        stiffness + torch.diag_embed(softest[..., None].expand_as(slope))
    )
    residuals = torch.linalg.solve_triangular(factor, slope[..., None], upper=False)[..., 0]
    directions = factor.mT @ _projection_jacobian(points[frame, chosen], seen.camera)
    builds = None
    if objective.solves_betas:
        builds = surface.betas_rows(spots, reduced_body, figure, directions)
    equations.add(
        residuals,
        surface.rows(spots, reduced_body, figure, betas, directions),
        torch.ones_like(strength),
        builds,
    )


def _by_unknowns(
    objective: Energy, slopes: Float[Tensor, "*batch moved 3"]
) -> Float[Tensor, "*batch unknowns"]:
    """Derivatives by the prior's joints among those by all unknowns."""
    prior, reduced_body = objective.prior, objective.reduced_body
    full = slopes.new_zeros(*slopes.shape[:-2], 3 * len(reduced_body.moved) + 3)
    columns = [reduced_body.moved.index(joint + 1) for joint in prior.joints]
    full[..., :-3].unflatten(-1, (-1, 3))[..., columns, :] = slopes
    return full


def _add_dynamics(
    equations: NormalEquations,
    objective: Energy,
    latents: Float[Tensor, "frames latent"],
    moved: Float[Tensor, "frames latent unknowns"],
) -> Float[Tensor, "frames latent"]:
    """Adds the dynamics' Hessian, and answers their gradient by the latents."""
    dynamics = objective.dynamics
    residuals = objective.surprises(latents)
    _, weights = losses.charbonnier(residuals.square().sum(-1), objective.dynamics_cutoff)
    rows = (objective.config.dynamics * weights).sqrt()[..., None]
    spread = dynamics.typical_log_variance(objective.fps).expand_as(residuals)
    # Single precision, as of the prior's own derivatives: large matrices, of which no digit is lost
    # that a step would miss.
    slopes = dynamics.residual_jacobians(latents, spread, None, objective.fps, torch.float32)
    weighted, rows = (rows**2 * residuals)[:, None].float(), rows[..., None].float()
    inner, moved = len(residuals), moved.float()
    gradient = torch.zeros_like(latents)
    for place, by_latent in enumerate(slopes):
        gradient[place : place + inner] += (weighted @ by_latent)[:, 0]
    shifted = [
        rows * (by_latent @ moved[place : place + inner]) for place, by_latent in enumerate(slopes)
    ]
    equations.add_in_time(torch.zeros_like(weighted[:, 0]), shifted)
    return gradient


def _add_limits(equations: NormalEquations, objective: Energy, variables: FitVariables) -> None:
    limits, reduced_body = objective.limits, objective.reduced_body
    pose = reduced_body.pose(variables)
    excess = limits.excess(pose) / objective.config.limit_noise
    jacobian = limits.excess_jacobian(pose) / objective.config.limit_noise
    columns = [reduced_body.moved.index(joint + 1) for joint in limits.joints]
    weight = objective.config.limits
    equations.add_to_joints(
        columns,
        weight * jacobian.transpose(-1, -2) @ jacobian,
        weight * (jacobian.transpose(-1, -2) @ excess[..., None])[..., 0],
    )


def _add_anchor(equations: NormalEquations, objective: Energy, variables: FitVariables) -> None:
    deviation = objective.anchor.deviation(variables.rotations)
    precision, jacobian = objective.anchor_precision(), inverse_right_jacobian(deviation)
    weighted = precision[..., None, None] * jacobian.mT
    equations.add_to_joints(
        list(range(deviation.shape[1])), weighted @ jacobian, (weighted @ deviation[..., None])[..., 0]
    )


def _add_build(equations: NormalEquations, objective: Energy, variables: FitVariables) -> None:
    weight = objective.config.build * len(variables.rotations)
    equations.betas_hessian.diagonal().add_(weight)
    equations.betas_gradient.add_(weight * variables.betas)


def _add_motion(
    equations: NormalEquations,
    objective: Energy,
    figure: PosedReducedBody,
    points: Float[Tensor, "frames points 3 unknowns"],
) -> None:
    config, fps = objective.config, objective.fps
    residuals = objective.accelerations(figure)
    _, weights = losses.charbonnier(residuals.square().sum(-1), config.motion_cutoff)
    rows = (config.motion * weights).sqrt()[..., None]
    residuals = (rows * residuals).flatten(1)
    joints = points[:, NUM_KEYPOINTS:] * fps**2
    place, relative = joints[:, :1], joints[:, 1:] - joints[:, :1]
    jacobian = torch.cat((place / config.place_noise, relative / config.motion_noise), dim=1)
    inner = len(residuals)
    shifted = [
        (factor * rows[..., None] * jacobian[place : place + inner]).flatten(1, 2)
        for place, factor in enumerate(STENCIL)
    ]
    equations.add_in_time(residuals, shifted)


def _add_turning(equations: NormalEquations, objective: Energy, variables: FitVariables) -> None:
    config, fps = objective.config, objective.fps
    scale = fps**2 / config.turning_noise
    steps = losses.turns(variables.rotations)
    residuals = (steps[1:] - steps[:-1]) * scale
    _, weights = losses.charbonnier(residuals.square().sum(-1), config.turning_cutoff)
    rows = (objective.turning_weight * weights).sqrt()[..., None]
    # ω_t = log(R_tᵀ R_{t+1}): a step δ_{t+1} enters by the right Jacobian, δ_t by minus the left.
    ahead, behind = inverse_right_jacobian(steps), -inverse_right_jacobian(-steps)
    shifted = [-behind[:-1], behind[1:] - ahead[:-1], ahead[1:]]
    shifted = [rows[..., None] * scale * block for block in shifted]
    equations.add_to_joints_in_time(rows * residuals, shifted)


def _projection_jacobian(
    points: Float[Tensor, "frames points 3"], intrinsics: Float[Tensor, "frames 3 3"]
) -> Float[Tensor, "frames points 2 3"]:
    """Derivative of the pixels by the points in the camera frame."""
    depth = points[..., 2].clamp(min=1e-3)
    rays = points[..., :2] / depth[..., None]
    slopes = torch.zeros(*points.shape[:-1], 2, 3, dtype=points.dtype, device=points.device)
    slopes[..., 0, 0] = slopes[..., 1, 1] = 1 / depth
    slopes[..., 2] = -rays / depth[..., None]
    return intrinsics[:, None, :2, :2] @ slopes
