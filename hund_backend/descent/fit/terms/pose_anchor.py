"""Pose anchor term: keeps a polish near the learned descent's pose where little is observed.

Gradients alone cannot tell where a hidden leg is and follow the noise of every landmark; the learned
stages know better. So a polish takes their rotations as one more observation of every joint.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from ....body.rotations import matrix_to_rotvec
from ....prior.coordinates import inverse_right_jacobian
from ..linearization import EvaluationPoint, LinearizationPoint
from ..solver import NormalEquations


@dataclass(frozen=True, kw_only=True)
class PoseAnchorConfig:
    """Weight and noise of the anchor."""

    weight: float = 1.0
    noise: float = 0.3  # radians, of a rotation that is fully observed
    unobserved_noise: float = 0.05  # radians, of one that is not observed at all


@dataclass(frozen=True, kw_only=True)
class PoseAnchor:
    """Reference rotations, and the fraction of each that is not observed."""

    rotations: Float[Tensor, "frames joints 3 3"]
    unobserved: Float[Tensor, "frames joints"]  # 0…1

    def select(self, frames: Int[Tensor, " chosen"]) -> "PoseAnchor":
        """Anchor of some of the frames, in the given order."""
        return PoseAnchor(rotations=self.rotations[frames], unobserved=self.unobserved[frames])


@dataclass(frozen=True, kw_only=True)
class PoseAnchorTerm:
    """½ Σ ‖ω / σ‖² of each joint's rotation ω from its reference, in its own axes, radians."""

    names: ClassVar = ("anchor",)
    rigid_invariant: ClassVar = False  # the pelvis is anchored, too
    config: PoseAnchorConfig
    anchor: PoseAnchor

    def deviation(
        self, rotations: Float[Tensor, "frames joints 3 3"]
    ) -> Float[Tensor, "frames joints 3"]:
        """log(R₀ᵀ R), radians."""
        return matrix_to_rotvec(self.anchor.rotations.mT @ rotations)

    def precision(self) -> Float[Tensor, "frames joints"]:
        """Weight / σ², rad⁻²; log σ is linear in the unobserved fraction."""
        noise, ratio = self.config.noise, self.config.noise / self.config.unobserved_noise
        return self.config.weight * (noise**-2 * ratio ** (2 * self.anchor.unobserved))

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame."""
        squares = self.deviation(at.variables.rotations).square().sum(-1)
        return (0.5 * (self.precision() * squares).sum(-1),)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add gradient and Gauss–Newton Hessian."""
        deviation = self.deviation(at.variables.rotations)
        jacobian = inverse_right_jacobian(deviation)
        weighted = self.precision()[..., None, None] * jacobian.mT
        equations.add_to_joints(
            list(range(deviation.shape[1])),
            weighted @ jacobian,
            (weighted @ deviation[..., None])[..., 0],
        )
