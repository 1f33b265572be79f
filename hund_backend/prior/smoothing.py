"""The likeliest latents of a sequence under the dynamics: smoothing, and the filling of gaps."""

import copy

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hund_backend.body.rotations import matrix_to_rotvec

from .banded import SEGMENT, Bands, banded_solution
from .dynamics import FPS, Dynamics, Latents, Roots
from .pose_prior import PosePrior

CERTAIN = 1e12  # precisions above count as this
SLACK = (
    0.3  # how far beside its tangent space a pose's latent may lie: poses fill a bent part of it
)
RIDGE = 1e-9  # pulls frames of which nothing is known at all to where they are


def smoothed(
    dynamics: Dynamics,
    latents: Latents,
    precision: Float[Tensor, "..."],
    roots: Roots | None = None,
    fps: float = FPS,
    iterations: int = 4,
    segment: int = SEGMENT,
) -> Latents:
    """Latents of greatest probability given noisy ones: an iterated Rauch–Tung–Striebel smoother.

    Lowers Σ_t ½ (z_t − y_t)ᵀ P_t (z_t − y_t) + ½ w_t ‖W_t (z_{t+1} − g(z_t, z_{t−1}))‖². Each iteration
    linearises g at the sequence so far and solves the system of all frames at once (a Kalman
    smoother's forward and backward pass, written as one block Cholesky). In the first one the
    spread of steps is the typical one, because velocities of noisy latents say nothing about it;
    then it is that of the smoothed sequence. Steps beyond what is typical weigh less, by Student's t.

    Args:
        dynamics: of the latents' prior.
        latents: observed ones, y; what stands in hidden frames is not looked at.
        precision: P, of each frame either one number or a matrix over the latent; zero: hidden;
            infinite: kept.
        roots: of the frames, or None.
        fps: frames a second.
        iterations: of Gauss and Newton.
        segment: frames whose matrices are in memory at a time.

    Returns:
        latents of all frames, in the precision of the given ones.
    """
    if latents.shape[-2] < 3:
        return latents
    model = _double(dynamics)
    precision = precision.double().nan_to_num(posinf=CERTAIN).clamp(max=CERTAIN)
    if precision.ndim == latents.ndim - 1:
        precision = precision[..., None, None] * torch.eye(latents.shape[-1]).to(precision)
    seen = precision.diagonal(dim1=-2, dim2=-1).sum(-1) > 0
    observed = latents.double()
    estimate = _bridged(observed, seen)
    roots = None if roots is None else roots.double()
    for iteration in range(iterations):
        typical = iteration == 0

        def rows(start: int, stop: int, at: Tensor = estimate, typical: bool = typical) -> Bands:
            bands = _step_bands(model, at, roots, fps, start, stop, typical=typical)
            trusted = precision[..., start:stop, :, :]
            missed = (observed - at)[..., start:stop, :, None].nan_to_num()
            bands.diagonal.add_(trusted)
            bands.right.add_((trusted @ missed)[..., 0])
            return bands

        estimate = estimate + banded_solution(rows, latents.shape[-2], segment)
    return estimate.to(latents)


def filled(
    dynamics: Dynamics,
    latents: Latents,
    hidden: Bool[Tensor, "*batch frames"],
    roots: Roots | None = None,
    fps: float = FPS,
    iterations: int = 4,
) -> Latents:
    """Latents whose hidden frames are the likeliest between the others, which stay as they are.

    Args:
        dynamics: of the latents' prior.
        latents: observed ones; what stands in hidden frames is not looked at.
        hidden: true in frames to fill; at least two before a gap say how the motion goes on.
        roots: of the frames, or None.
        fps: frames a second.
        iterations: of Gauss and Newton.
    """
    precision = torch.where(hidden, 0.0, CERTAIN).to(latents)
    found = smoothed(dynamics, latents, precision, roots, fps, iterations)
    return torch.where(hidden[..., None], found, latents)


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
    """Normal equations of the steps, rows of the frames from `start` up to before `stop`."""
    first, last = max(0, start - 2), min(latents.shape[-2], stop + 2)
    latents = latents[..., first:last, :]
    roots = None if roots is None else roots[..., first:last, :]
    spread = dynamics.log_variances(latents, roots, fps)
    if typical:
        spread = torch.full_like(spread, float(dynamics.typical_log_variance(fps)))
    residuals = dynamics.residuals(latents, spread, roots, fps)
    weights = torch.ones_like(residuals[..., 0])
    if not typical:
        weights = dynamics.tail_weights(residuals)
    rows = weights.sqrt()[..., None]
    jacobians = dynamics.residual_jacobians(latents, spread, roots, fps)
    jacobians = [rows[..., None] * jacobian for jacobian in jacobians]
    residuals = (rows * residuals)[..., None]
    frames, unknowns = latents.shape[-2:]
    inner = frames - 2
    bands = [latents.new_zeros(*latents.shape, unknowns) for _ in range(3)]
    bands[0].diagonal(dim1=-2, dim2=-1).add_(RIDGE)
    right = torch.zeros_like(latents)
    for place, jacobian in enumerate(jacobians):
        right[..., place : place + inner, :] -= (jacobian.mT @ residuals)[..., 0]
        for earlier in range(place + 1):
            block = bands[place - earlier][..., earlier : earlier + inner, :, :]
            block += jacobian.mT @ jacobians[earlier]
    inside = slice(start - first, stop - first)
    return Bands(*(band[..., inside, :, :] for band in bands), right[..., inside, :])


def _bridged(latents: Latents, seen: Bool[Tensor, "*batch frames"]) -> Latents:
    """Straight lines through hidden frames; before the first and after the last seen one: those."""
    frames = latents.shape[-2]
    index = torch.arange(frames, device=latents.device).expand(seen.shape)
    before = torch.where(seen, index, -1).cummax(-1).values
    after = torch.where(seen, index, frames).flip(-1).cummin(-1).values.flip(-1)
    before, after = (
        torch.where(before < 0, after.clamp(max=frames - 1), before),
        torch.where(after >= frames, before.clamp(min=0), after),
    )
    share = ((index - before) / (after - before).clamp(min=1))[..., None].to(latents)

    def at(places: Tensor) -> Tensor:
        return latents.gather(-2, places[..., None].expand(latents.shape))

    return at(before) + share * (at(after) - at(before))


def _double(dynamics: Dynamics) -> Dynamics:
    """The same model in double precision; spreads differ too much for the single one."""
    return copy.deepcopy(dynamics).double().requires_grad_(False)


def smoothed_poses(
    dynamics: Dynamics,
    prior: PosePrior,
    observed: Float[Tensor, "*batch frames joints 3 3"],
    noise: float,
    roots: Roots | None = None,
    fps: float = FPS,
    rounds: int = 4,
) -> Float[Tensor, "*batch frames joints 3 3"]:
    """Poses of greatest probability given noisy ones, joints that the prior does not look at at rest.

    The noise is in the joints, not in the latent: each round takes the observation to the latent from
    where the smoothed motion is by then, not from the noisy pose, whose latent may be far off.

    Args:
        dynamics: of the prior's latents.
        prior: of the poses.
        observed: noisy poses.
        noise: of every joint on every axis, radians.
        roots: of the frames, or None.
        fps: frames a second.
        rounds: of linearising the prior.
    """
    joints, pose = list(prior.joints), observed
    for _ in range(rounds):
        jacobian = prior.slopes(pose).latent.flatten(-2)
        missed = matrix_to_rotvec(pose[..., joints, :, :].mT @ observed[..., joints, :, :])
        target = prior.latent(pose) + (jacobian @ missed.flatten(-2)[..., None])[..., 0]
        covariance = (noise * jacobian).double() @ (noise * jacobian).double().mT
        covariance.diagonal(dim1=-2, dim2=-1).add_(SLACK**2)
        precision = torch.linalg.inv(covariance)
        pose = prior.pose(smoothed(dynamics, target, precision, roots, fps, iterations=3))
    return pose
