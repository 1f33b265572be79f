"""Terms of what bodies can do: shape near the mean, joints within their limits."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ....prior.limits import JointLimits
from ..linearization import EvaluationPoint, LinearizationPoint
from ..solver import NormalEquations


@dataclass(frozen=True, kw_only=True)
class BetasTerm:
    """½ (β − β₀)ᵀ P (β − β₀): betas are standard normal by construction of the body's shape basis.

    Where outlines tell of the build, β₀ and P are those they let expect; in the polish of a picture
    without them, β₀ are the learned descent's.
    """

    names: ClassVar = ("build",)
    rigid_invariant: ClassVar = True
    weight: float
    expected: Float[Tensor, " betas"] | None = None  # β₀; None: zero
    precision: Float[Tensor, " betas"] | None = None  # diagonal of P; None: one

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame, the same in all."""
        energy = 0.5 * (self._precision(at) * self._deviation(at).square()).sum(-1)
        return (self.weight * energy.expand(len(at.variables.translation)),)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add gradient and Hessian by the betas, where these are solved for."""
        if not at.solves_betas:
            return
        weight = self.weight * len(at.variables.rotations) * self._precision(at)
        equations.betas_hessian.diagonal().add_(weight)
        equations.betas_gradient.add_(weight * self._deviation(at))

    def _deviation(self, at: EvaluationPoint) -> Float[Tensor, " betas"]:
        betas = at.variables.betas
        return betas if self.expected is None else betas - self.expected.to(betas)

    def _precision(self, at: EvaluationPoint) -> Float[Tensor, " betas"]:
        betas = at.variables.betas
        return torch.ones_like(betas) if self.precision is None else self.precision.to(betas)


@dataclass(frozen=True, kw_only=True)
class LimitsConfig:
    """Weight and noise of the joint limits."""

    weight: float = 1.0
    noise: float = 0.05  # radians beyond the range


@dataclass(frozen=True, kw_only=True)
class JointLimitTerm:
    """½ ‖e / σ‖² of the angles e beyond their ranges; nothing inside."""

    names: ClassVar = ("limits",)
    rigid_invariant: ClassVar = True
    config: LimitsConfig
    limits: JointLimits

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame."""
        excess = self.limits.excess(at.pose) / self.config.noise
        return (self.config.weight * (0.5 * excess.square().sum((-2, -1))),)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add gradient and Gauss–Newton Hessian."""
        excess = self.limits.excess(at.pose) / self.config.noise
        jacobian = self.limits.excess_jacobian(at.pose) / self.config.noise
        indices = at.reduced_body.joint_indices
        weight = self.config.weight
        equations.add_to_joints(
            [indices.index(joint + 1) for joint in self.limits.joints],
            weight * jacobian.mT @ jacobian,
            weight * (jacobian.mT @ excess[..., None])[..., 0],
        )
