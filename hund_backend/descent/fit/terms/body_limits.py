"""Joint limit term: joints within their ranges."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from ....prior.limits import JointLimits
from ..linearization import EvaluationPoint, LinearizationPoint
from ..solver import NormalEquations


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
