"""Smoothing of noisy latents and filling of gaps by the dynamics of poses."""

import copy

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..body.rotations import matrix_to_rotvec
from .banded import SEGMENT, Bands, solve_block_banded
from .dynamics import FPS, Dynamics, Latents, Roots
from .pose_prior import PosePrior

MAX_PRECISION = 1e12  # larger precisions count as this
TANGENT_STD = 0.3  # of latents across the tangent space of poses, whose manifold is curved
RIDGE = 1e-9  # on the diagonal: frames without any information stay in place


def smooth_latents(
    dynamics: Dynamics,
    latents: Latents,
    precision: Float[Tensor, "..."],
    roots: Roots | None = None,
    fps: float = FPS,
    iterations: int = 4,
    segment: int = SEGMENT,
) -> Latents:
    """Return the most probable latents given noisy ones: an iterated Rauch–Tung–Striebel smoother.

    It minimizes Σ_t ½ (z_t − y_t)ᵀ P_t (z_t − y_t) + ½ w_t ‖W_t (z_{t+1} − g(z_t, z_{t−1}))‖². Each
    iteration linearizes g at the current sequence and solves the system of all frames at once (the
    forward and backward pass of a Kalman smoother, written as one block Cholesky). The first
    iteration takes the typical variance for all steps, because velocities of noisy latents say
    nothing about it; later ones take that of the smoothed sequence, and w_t, the weights of
    Student's t, lower the influence of outliers.

    Args:
        dynamics: of the latents' prior.
        latents: y, the observed ones; those of hidden frames are ignored.
        precision: P, one number or one matrix over the latent for each frame; zero in hidden
            frames, infinite where the latent is to stay.
        roots: of the frames, or None.
        fps: frames a second.
        iterations: of Gauss-Newton.
        segment: frames whose matrices are in memory at a time.

    Returns:
        Latents of all frames, with the dtype of the given ones; fewer than three are unchanged.
    """
    if latents.shape[-2] < 3:
        return latents
    model = _double(dynamics)
    precision = precision.double().nan_to_num(posinf=MAX_PRECISION).clamp(max=MAX_PRECISION)
    if precision.ndim == latents.ndim - 1:
        precision = precision[..., None, None] * torch.eye(latents.shape[-1]).to(precision)
    is_observed = precision.diagonal(dim1=-2, dim2=-1).sum(-1) > 0
    observed = latents.double()
    estimate = _interpolate_gaps(observed, is_observed)
    roots = None if roots is None else roots.double()
    for iteration in range(iterations):
        typical = iteration == 0

        def rows(
            start: int, stop: int, current: Tensor = estimate, typical: bool = typical
        ) -> Bands:
            bands = _step_bands(model, current, roots, fps, start, stop, typical=typical)
            weight = precision[..., start:stop, :, :]
            residual = (observed - current)[..., start:stop, :, None].nan_to_num()
            bands.diagonal.add_(weight)
            bands.rhs.add_((weight @ residual)[..., 0])
            return bands

        estimate = estimate + solve_block_banded(rows, latents.shape[-2], segment)
    return estimate.to(latents)


def fill_gaps(
    dynamics: Dynamics,
    latents: Latents,
    hidden: Bool[Tensor, "*batch frames"],
    roots: Roots | None = None,
    fps: float = FPS,
    iterations: int = 4,
) -> Latents:
    """Return the latents with the most probable ones in hidden frames; the others stay.

    Args:
        dynamics: of the latents' prior.
        latents: observed ones; those of hidden frames are ignored.
        hidden: true in the frames to fill; two frames before a gap determine its first velocity.
        roots: of the frames, or None.
        fps: frames a second.
        iterations: of Gauss-Newton.
    """
    precision = torch.where(hidden, 0.0, MAX_PRECISION).to(latents)
    filled = smooth_latents(dynamics, latents, precision, roots, fps, iterations)
    return torch.where(hidden[..., None], filled, latents)


def _step_bands(
    dynamics: Dynamics,
    latents: Latents,
    roots: Roots | None,
    fps: float,
    start: int,
    stop: int,
    *,
    typical: bool,
) -> Bands:
    """Return the normal equations of the steps: rows of the frames start…stop − 1."""
    first, last = max(0, start - 2), min(latents.shape[-2], stop + 2)
    latents = latents[..., first:last, :]
    roots = None if roots is None else roots[..., first:last, :]
    log_variance = dynamics.log_variances(latents, roots, fps)
    if typical:
        typical_log_variance = float(dynamics.typical_log_variance(fps))
        log_variance = torch.full_like(log_variance, typical_log_variance)
    residuals = dynamics.residuals(latents, log_variance, roots, fps)
    weights = torch.ones_like(residuals[..., 0])
    if not typical:
        weights = dynamics.robust_weights(residuals)
    scale = weights.sqrt()[..., None]
    jacobians = dynamics.residual_jacobians(latents, log_variance, roots, fps)
    jacobians = [scale[..., None] * jacobian for jacobian in jacobians]
    residuals = (scale * residuals)[..., None]
    frames, unknowns = latents.shape[-2:]
    inner = frames - 2
    bands = [latents.new_zeros(*latents.shape, unknowns) for _ in range(3)]
    bands[0].diagonal(dim1=-2, dim2=-1).add_(RIDGE)
    rhs = torch.zeros_like(latents)
    for offset, jacobian in enumerate(jacobians):
        rhs[..., offset : offset + inner, :] -= (jacobian.mT @ residuals)[..., 0]
        for earlier in range(offset + 1):
            block = bands[offset - earlier][..., earlier : earlier + inner, :, :]
            block += jacobian.mT @ jacobians[earlier]
    inside = slice(start - first, stop - first)
    return Bands(*(band[..., inside, :, :] for band in bands), rhs[..., inside, :])


def _interpolate_gaps(latents: Latents, is_observed: Bool[Tensor, "*batch frames"]) -> Latents:
    """Interpolate linearly in gaps; hold the first and the last observed latent at the ends."""
    frames = latents.shape[-2]
    index = torch.arange(frames, device=latents.device).expand(is_observed.shape)
    before = torch.where(is_observed, index, -1).cummax(-1).values
    after = torch.where(is_observed, index, frames).flip(-1).cummin(-1).values.flip(-1)
    before, after = (
        torch.where(before < 0, after.clamp(max=frames - 1), before),
        torch.where(after >= frames, before.clamp(min=0), after),
    )
    share = ((index - before) / (after - before).clamp(min=1))[..., None].to(latents)

    def select(indices: Tensor) -> Tensor:
        return latents.gather(-2, indices[..., None].expand(latents.shape))

    return select(before) + share * (select(after) - select(before))


def _double(dynamics: Dynamics) -> Dynamics:
    """Return the model in double precision; variances differ too much for the single one."""
    return copy.deepcopy(dynamics).double().requires_grad_(False)


def smooth_poses(
    dynamics: Dynamics,
    prior: PosePrior,
    observed: Float[Tensor, "*batch frames joints 3 3"],
    noise: float,
    roots: Roots | None = None,
    fps: float = FPS,
    rounds: int = 4,
) -> Float[Tensor, "*batch frames joints 3 3"]:
    """Return the most probable poses given noisy ones; joints outside the prior are at rest.

    The noise is in the joints, not in the latent: each round linearizes the prior at the smoothed
    motion of the round before, not at the noisy pose, whose latent may be far off.

    Args:
        dynamics: of the prior's latents.
        prior: of the poses.
        observed: noisy poses.
        noise: standard deviation for every joint and axis, radians.
        roots: of the frames, or None.
        fps: frames a second.
        rounds: of linearizing the prior.
    """
    joints, pose = list(prior.joints), observed
    for _ in range(rounds):
        jacobian = prior.jacobian(pose).latent.flatten(-2)
        error = matrix_to_rotvec(pose[..., joints, :, :].mT @ observed[..., joints, :, :])
        target = prior.latent(pose) + (jacobian @ error.flatten(-2)[..., None])[..., 0]
        covariance = (noise * jacobian).double() @ (noise * jacobian).double().mT
        covariance.diagonal(dim1=-2, dim2=-1).add_(TANGENT_STD**2)
        precision = torch.linalg.inv(covariance)
        pose = prior.pose(smooth_latents(dynamics, target, precision, roots, fps, iterations=3))
    return pose
