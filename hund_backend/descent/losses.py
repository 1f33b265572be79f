"""The terms of the descent: how far a state is from the evidence and from what people can do.

Each term is an energy per frame in units of its own noise, ½ Σ c ρ(‖r / σ‖²), so that it reads as
a negative log-likelihood and the weights of a schedule are plain numbers near one. The residuals r
and the robust kernels ρ stand here as well, because the solver takes derivatives of the same
formulas (`linearization.py`). The terms are those of the optimisation variants of GHUM (Xu et al.,
2020) and of the flow priors (Zanfir et al., 2020), without the body parts.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from hund_backend.body.camera import project
from hund_backend.body.rotations import matrix_to_rotvec
from hund_backend.body.skeleton import BLAZEPOSE_NAMES

HIPS = (BLAZEPOSE_NAMES.index("left_hip"), BLAZEPOSE_NAMES.index("right_hip"))


def geman_mcclure(
    squares: Float[Tensor, "*batch"], cutoff: float
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """ρ(s) = s / (1 + s / k²): s where it is small, never more than k² (Geman & McClure, 1987).

    Args:
        squares: squared residuals in units of the noise, s.
        cutoff: k, in units of the noise; a residual of k counts half.

    Returns:
        ρ and its derivative by s, which is the weight of the residual in least squares.
    """
    shrink = 1 / (1 + squares / cutoff**2)
    return squares * shrink, shrink**2


def charbonnier(
    squares: Float[Tensor, "*batch"], cutoff: float
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """ρ(s) = 2k² (√(1 + s / k²) − 1): s where it is small, 2k √s where it is large.

    Fast motion costs something but is never ironed out (Charbonnier et al., 1994).

    Args:
        squares: squared residuals in units of the noise, s.
        cutoff: k, in units of the noise, where the square turns into a line.

    Returns:
        ρ and its derivative by s.
    """
    root = torch.sqrt(1 + squares / cutoff**2)
    return 2 * cutoff**2 * (root - 1), 1 / root


def keypoint_residuals(
    points: Float[Tensor, "*batch keypoints 3"],
    intrinsics: Float[Tensor, "*batch 3 3"],
    pixels: Float[Tensor, "*batch keypoints 2"],
    crop_side: Float[Tensor, "*batch"],
) -> Float[Tensor, "*batch keypoints 2"]:
    """(Π(p) − u) / side: pixels missed, as a fraction of the side of the person's crop."""
    return (project(points, intrinsics) - pixels) / crop_side[..., None, None]


def landmark_residuals(
    points: Float[Tensor, "*batch keypoints 3"],
    landmarks: Float[Tensor, "*batch keypoints 3"],
    scale: Float[Tensor, "*batch"],
) -> Float[Tensor, "*batch keypoints 3"]:
    """(p − p_hips) − s (w − w_hips): metres between points and scaled landmarks, hips on hips."""

    def hip_centered(places: Tensor) -> Tensor:
        return places - places[..., HIPS, :].mean(-2, keepdim=True)

    return hip_centered(points) - scale[..., None, None] * hip_centered(landmarks)


def accelerations(
    points: Float[Tensor, "*batch frames items 3"], fps: float
) -> Float[Tensor, "*batch inner items 3"]:
    """(x_{t−1} − 2 x_t + x_{t+1}) fps² of all frames but the first and the last, m/s²."""
    before, here, after = points[..., :-2, :, :], points[..., 1:-1, :, :], points[..., 2:, :, :]
    return (before - 2 * here + after) * fps**2


def turns(
    rotations: Float[Tensor, "*batch frames joints 3 3"],
) -> Float[Tensor, "*batch steps joints 3"]:
    """log(R_tᵀ R_{t+1}): how each joint turns from a frame to the next, in its own axes, radians."""
    return turn(rotations[..., :-1, :, :, :], rotations[..., 1:, :, :, :])


def turn(
    before: Float[Tensor, "*batch 3 3"], after: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*batch 3"]:
    """log(R₀ᵀ R₁): the turn from one rotation to another, in its own axes, radians."""
    return matrix_to_rotvec(before.transpose(-1, -2) @ after)


def angular_accelerations(
    rotations: Float[Tensor, "*batch frames joints 3 3"], fps: float
) -> Float[Tensor, "*batch inner joints 3"]:
    """(ω_t − ω_{t−1}) fps² of all frames but the first and the last, rad/s²."""
    steps = turns(rotations)
    return (steps[..., 1:, :, :] - steps[..., :-1, :, :]) * fps**2


def evidence_squares(
    residuals: Float[Tensor, "*batch keypoints components"],
    confidence: Float[Tensor, "*batch keypoints"],
    noise: float,
) -> Float[Tensor, "*batch keypoints"]:
    """Weigh ‖r / σ‖² by c: a point without confidence is not worth less, it is less precise.

    Networks guess hidden limbs from the visible ones, badly but not blindly: with the confidence
    inside the kernel such a point pulls weakly, but from far away.
    """
    return confidence * (residuals / noise).square().sum(-1)


def evidence_energy(
    residuals: Float[Tensor, "*batch keypoints components"],
    confidence: Float[Tensor, "*batch keypoints"],
    noise: float,
    cutoff: float,
) -> Float[Tensor, "*batch"]:
    """½ Σ ρ(c ‖r / σ‖²) over the keypoints with the kernel of Geman and McClure.

    Args:
        residuals: of the keypoints or the landmarks.
        confidence: of each point, 0…1; a point without confidence has no say.
        noise: σ of a point of full confidence, in the residuals' unit.
        cutoff: k of the kernel, in units of the noise.
    """
    rho, _ = geman_mcclure(evidence_squares(residuals, confidence, noise), cutoff)
    return 0.5 * rho.sum(-1)


def build_energy(betas: Float[Tensor, "*batch betas"]) -> Float[Tensor, "*batch"]:
    """½ ‖β‖²: builds are standard normal in the body's coefficients."""
    return 0.5 * betas.square().sum(-1)


def anchor_energy(
    strayed: Float[Tensor, "*batch joints 3"], precision: Float[Tensor, "*batch joints"]
) -> Float[Tensor, "*batch"]:
    """½ Σ ‖ω / σ‖² of the joints' turns from what was believed."""
    return 0.5 * (precision * strayed.square().sum(-1)).sum(-1)


def limit_energy(
    excess: Float[Tensor, "*batch limited 3"], noise: float
) -> Float[Tensor, "*batch"]:
    """½ ‖e / σ‖² of the angles beyond their ranges; nothing inside."""
    return 0.5 * (excess / noise).square().sum((-2, -1))


def smoothness_energy(
    accelerations: Float[Tensor, "*batch inner items 3"], noise: float, cutoff: float
) -> Float[Tensor, "*batch frames"]:
    """½ Σ ρ(‖a / σ‖²) with Charbonnier's kernel, in the middle one of each three frames."""
    rho, _ = charbonnier((accelerations / noise).square().sum(-1), cutoff)
    return torch.nn.functional.pad(0.5 * rho.sum(-1), (1, 1))
