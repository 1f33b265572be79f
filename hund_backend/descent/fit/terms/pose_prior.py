"""Pose prior term: negative log-likelihood of the pose under the prior."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

from ....prior.pose_prior import PosePrior
from ..linearization import EvaluationPoint, LinearizationPoint
from ..solver import NormalEquations


@dataclass(frozen=True, kw_only=True)
class PosePriorConfig:
    """Weights of the pose prior."""

    weight: float = 1.0
    volume: float = 0.5  # v: 0 for ½ ‖z‖² alone, 1 for the density over rotations
    unobserved: float = 0.05  # factor in bridged frames, which motion should fill, not the mean


@dataclass(frozen=True, kw_only=True)
class PosePriorTerm:
    """½ ‖z‖² − v log |dz/dR|, zero at the prior's typical pose.

    The flow papers penalize ‖z‖² of the latent that they solve for. The density over rotations is
    smaller by the volume that the flow contracts: without that, unlikely poses come near z = 0.
    """

    names: ClassVar = ("prior",)
    rigid_invariant: ClassVar = True
    config: PosePriorConfig
    prior: PosePrior
    observed: Bool[Tensor, " frames"]

    def weights(self, like: Tensor) -> Float[Tensor, " frames"]:
        """Weight in each frame."""
        observed = self.observed.to(like.dtype)
        unobserved = self.config.weight * self.config.unobserved
        return observed * self.config.weight + (1 - observed) * unobserved

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame."""
        energy = 0.5 * at.latent.square().sum(-1)
        if self.config.volume != 0:
            typical = self.prior.typical_pose().to(at.pose)
            log_det = self.prior.log_det(typical) - self.prior.log_det(at.pose)
            energy = energy + self.config.volume * log_det
        return (self.weights(at.pose) * energy,)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add the Hessian; the gradient goes to the latent's and the log-determinant's."""
        weights = self.weights(at.pose)
        rows = weights[:, None, None].sqrt() * at.latent_jacobian
        equations.hessian += rows.mT @ rows
        at.add_latent_gradient(weights[:, None] * at.latent)
        at.log_det_gradient = -self.config.volume * weights
