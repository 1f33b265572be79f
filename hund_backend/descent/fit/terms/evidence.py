"""Evidence terms: reprojected keypoints, and the detector's 3D landmarks."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from ...keypoints import HIPS, NUM_KEYPOINTS, keypoint_residuals, landmark_residuals
from ...reduced_body import PosedReducedBody
from ...targets import Targets
from ..linearization import EvaluationPoint, LinearizationPoint
from ..solver import NormalEquations
from .kernels import Robust, geman_mcclure
from .projection import projection_jacobian


@dataclass(frozen=True, kw_only=True)
class KeypointTerm:
    """½ Σ ρ(c ‖r / σ‖²) of the reprojection residuals r, fractions of the crop's side."""

    names: ClassVar = ("keypoints",)
    rigid_invariant: ClassVar = False
    config: Robust
    targets: Targets

    def residuals(self, posed: PosedReducedBody) -> Float[Tensor, "frames keypoints 2"]:
        """Projected minus detected keypoints, as fractions of the crop's side."""
        points, targets = posed.points[:, :NUM_KEYPOINTS], self.targets
        return keypoint_residuals(points, targets.intrinsics, targets.pixels, targets.crop_side)

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame."""
        return (_energy(self.residuals(at.posed), self.targets, self.config),)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add gradient and Gauss–Newton Hessian."""
        noise, targets = self.config.noise, self.targets
        residuals = self.residuals(at.posed)
        lens = projection_jacobian(at.posed.points[:, :NUM_KEYPOINTS], targets.intrinsics)
        lens = lens / (targets.crop_side[:, None, None, None] * noise)
        betas = at.point_betas_jacobian
        equations.add(
            residuals / noise,
            lens @ at.point_jacobian[:, :NUM_KEYPOINTS],
            _weights(residuals, targets, self.config),
            None if betas is None else lens @ betas[:, :NUM_KEYPOINTS],
        )


@dataclass(frozen=True, kw_only=True)
class LandmarkTerm:
    """½ Σ ρ(c ‖r / σ‖²) of the residuals r to the scaled 3D landmarks, hips on hips, metres."""

    names: ClassVar = ("landmarks",)
    rigid_invariant: ClassVar = False
    config: Robust
    targets: Targets

    def residuals(self, posed: PosedReducedBody) -> Float[Tensor, "frames keypoints 3"]:
        """Points minus scaled landmarks, both from the middle of the hips, metres."""
        points, targets = posed.points[:, :NUM_KEYPOINTS], self.targets
        return landmark_residuals(points, targets.landmarks, targets.landmark_scale)

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame."""
        return (_energy(self.residuals(at.posed), self.targets, self.config),)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add gradient and Gauss–Newton Hessian."""
        noise = self.config.noise
        residuals, betas = self.residuals(at.posed), at.point_betas_jacobian

        def from_hips(jacobian: Tensor) -> Tensor:
            hips = jacobian[:, HIPS, :, :].mean(1, keepdim=True)
            return (jacobian[:, :NUM_KEYPOINTS] - hips) / noise

        equations.add(
            residuals / noise,
            from_hips(at.point_jacobian),
            _weights(residuals, self.targets, self.config),
            None if betas is None else from_hips(betas),
        )


def _squares(
    residuals: Float[Tensor, "frames keypoints components"], targets: Targets, noise: float
) -> Float[Tensor, "frames keypoints"]:
    """Squared residuals c ‖r / σ‖²: confidence is a precision, inside the robust kernel.

    Networks guess hidden limbs from the visible ones, imprecisely but not at random. With the
    confidence inside the kernel such a point pulls weakly, but is no outlier.
    """
    return targets.confidence * (residuals / noise).square().sum(-1)


def _energy(
    residuals: Float[Tensor, "frames keypoints components"], targets: Targets, config: Robust
) -> Float[Tensor, " frames"]:
    rho, _ = geman_mcclure(_squares(residuals, targets, config.noise), config.cutoff)
    return config.weight * (0.5 * rho.sum(-1))


def _weights(
    residuals: Float[Tensor, "frames keypoints components"], targets: Targets, config: Robust
) -> Float[Tensor, "frames keypoints"]:
    """Weights of the squared residuals in least squares."""
    _, robust = geman_mcclure(_squares(residuals, targets, config.noise), config.cutoff)
    return config.weight * targets.confidence * robust
