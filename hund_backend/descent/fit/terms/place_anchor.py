"""Place anchor term: keeps the pelvis near its place in another motion."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from ...keypoints import NUM_KEYPOINTS
from ..linearization import EvaluationPoint, LinearizationPoint
from ..solver import NormalEquations


@dataclass(frozen=True, kw_only=True)
class PlaceAnchorTerm:
    """½ ‖(x − x₀) / σ‖² of the pelvis' places x and their references x₀."""

    names: ClassVar = ("place",)
    rigid_invariant: ClassVar = False
    noise: float  # metres
    places: Float[Tensor, "frames 3"]

    def residuals(self, at: EvaluationPoint) -> Float[Tensor, "frames 1 3"]:
        """Offsets in units of their noise."""
        return (at.posed.joints[:, :1] - self.places[:, None]) / self.noise

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame."""
        return (0.5 * self.residuals(at).square().sum((-2, -1)),)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add gradient and Hessian."""
        residuals = self.residuals(at)
        jacobian = at.point_jacobian[:, NUM_KEYPOINTS : NUM_KEYPOINTS + 1] / self.noise
        equations.add(residuals, jacobian, residuals.new_ones(residuals.shape[:2]))
