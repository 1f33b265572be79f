"""Evidence in time: steps of keypoints and landmarks from frame to frame.

A detector's errors persist over some frames, so the step between two frames is known far better
than either position. For errors of deviation σ and correlation ρ from frame to frame (a first-order
autoregressive process) the likelihood is a sum over frames and a sum over steps; this is the latter,
with the deviation σ √((1 − ρ²) / ρ). It keeps fast motion that smoothing would take for noise.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from ...keypoints import HIPS, NUM_KEYPOINTS, keypoint_residuals, landmark_residuals
from ...targets import Targets
from ..linearization import EvaluationPoint, LinearizationPoint
from ..solver import NormalEquations
from .kernels import geman_mcclure
from .projection import projection_jacobian

_STENCIL = (-1.0, 1.0)  # of a step


@dataclass(frozen=True, kw_only=True)
class PersistentNoise:
    """Errors that are correlated in time; a weight of zero switches a term off."""

    weight: float
    noise: float  # σ, in the residuals' unit
    white: float = 0.0  # deviation of errors that last for one frame, in the residuals' unit
    seconds: float  # in which the correlation falls to 1/e
    cutoff: float  # in units of a step's noise; a step beyond it is an outlier

    def step_noise(self, fps: float) -> float:
        """Deviation of the errors' steps from frame to frame, in the residuals' unit."""
        correlation = math.exp(-1 / (fps * self.seconds))
        lasting = self.noise**2 * (1 - correlation**2) / correlation
        return math.sqrt(lasting + 2 * self.white**2)


@dataclass(frozen=True, kw_only=True)
class KeypointStepTerm:
    """½ Σ c ρ(‖(r_t − r_{t−1}) / σ‖²) of the reprojection residuals r, crop sides."""

    names: ClassVar = ("keypoint_steps",)
    rigid_invariant: ClassVar = False
    config: PersistentNoise
    targets: Targets
    fps: float

    def residuals(self, at: EvaluationPoint) -> Float[Tensor, "steps keypoints 2"]:
        """Steps of the residuals in units of their noise."""
        points, targets = at.posed.points[:, :NUM_KEYPOINTS], self.targets
        residuals = keypoint_residuals(
            points, targets.intrinsics, targets.pixels, targets.crop_side
        )
        return (residuals[1:] - residuals[:-1]) / self.config.step_noise(self.fps)

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame."""
        return (_energies(self.residuals(at), self.targets, self.config),)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add gradient and Gauss–Newton Hessian."""
        targets = self.targets
        lens = projection_jacobian(at.posed.points[:, :NUM_KEYPOINTS], targets.intrinsics)
        lens = lens / (targets.crop_side[:, None, None, None] * self.config.step_noise(self.fps))
        jacobian = lens @ at.point_jacobian[:, :NUM_KEYPOINTS]
        _add(equations, self.residuals(at), jacobian, targets, self.config)


@dataclass(frozen=True, kw_only=True)
class LandmarkStepTerm:
    """½ Σ c ρ(‖(r_t − r_{t−1}) / σ‖²) of the residuals r to the scaled landmarks, metres."""

    names: ClassVar = ("landmark_steps",)
    rigid_invariant: ClassVar = False
    config: PersistentNoise
    targets: Targets
    fps: float

    def residuals(self, at: EvaluationPoint) -> Float[Tensor, "steps keypoints 3"]:
        """Steps of the residuals in units of their noise."""
        points, targets = at.posed.points[:, :NUM_KEYPOINTS], self.targets
        residuals = landmark_residuals(points, targets.landmarks, targets.landmark_scale)
        return (residuals[1:] - residuals[:-1]) / self.config.step_noise(self.fps)

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame."""
        return (_energies(self.residuals(at), self.targets, self.config),)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add gradient and Gauss–Newton Hessian."""
        jacobian = at.point_jacobian
        hips = jacobian[:, HIPS, :, :].mean(1, keepdim=True)
        jacobian = (jacobian[:, :NUM_KEYPOINTS] - hips) / self.config.step_noise(self.fps)
        _add(equations, self.residuals(at), jacobian, self.targets, self.config)


def _confidence(targets: Targets) -> Float[Tensor, "steps keypoints"]:
    """Confidence of a step: the lesser one of its frames."""
    return torch.minimum(targets.confidence[1:], targets.confidence[:-1])


def _energies(
    residuals: Float[Tensor, "steps keypoints components"],
    targets: Targets,
    config: PersistentNoise,
) -> Float[Tensor, " frames"]:
    rho, _ = geman_mcclure(residuals.square().sum(-1), config.cutoff)
    return pad(config.weight * (0.5 * _confidence(targets) * rho).sum(-1), (1, 0))


def _add(
    equations: NormalEquations,
    residuals: Float[Tensor, "steps keypoints components"],
    jacobian: Float[Tensor, "frames keypoints components unknowns"],
    targets: Targets,
    config: PersistentNoise,
) -> None:
    _, weights = geman_mcclure(residuals.square().sum(-1), config.cutoff)
    weights = config.weight * _confidence(targets) * weights
    equations.add_differences(residuals, jacobian, weights, _STENCIL)
