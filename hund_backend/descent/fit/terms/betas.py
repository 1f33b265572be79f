"""Betas term: body shape near what is expected of it."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ...expected_betas import ExpectedBetas
from ...keypoints import BONES
from ...reduced_body import FitVariables, ReducedBody
from ..linearization import EvaluationPoint, LinearizationPoint
from ..solver import NormalEquations


@dataclass(frozen=True, kw_only=True)
class BetasTerm:
    """½ w (β − β₀)ᵀ Λ (β − β₀) in every frame, with the expected betas β₀ and their precision Λ."""

    names: ClassVar = ("build",)
    rigid_invariant: ClassVar = True
    weight: float
    expected: ExpectedBetas | None = None
    """None: the population's."""

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame, the same in all."""
        expected = self._expected(at)
        deviation = at.variables.betas - expected.mean
        energy = 0.5 * self.weight * (deviation @ expected.precision @ deviation)
        return (energy.expand(len(at.variables.translation)),)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add gradient and Hessian by the betas, where these are solved for."""
        if not at.solves_betas:
            return
        expected = self._expected(at)
        deviation = at.variables.betas - expected.mean
        hessian = self.weight * len(at.variables.rotations) * expected.precision
        equations.betas_hessian.add_(hessian)
        equations.betas_gradient.add_(hessian @ deviation)

    def _expected(self, at: EvaluationPoint) -> ExpectedBetas:
        if self.expected is not None:
            return self.expected
        return ExpectedBetas.of_population(at.variables.betas)


def size_direction(
    betas: Float[Tensor, " betas"], reduced_body: ReducedBody
) -> Float[Tensor, " betas"]:
    """Unit vector along which a change of the betas changes the length of the bones most.

    Args:
        betas: near which.
        reduced_body: with BlazePose's keypoints.
    """
    rest = torch.eye(3).to(betas).repeat(1, len(reduced_body.joint_indices), 1, 1)
    posed = reduced_body.forward(FitVariables(rest, betas.new_tensor([[0.0, 0, 1]]), betas))
    points, jacobian = posed.points[0], reduced_body.betas_jacobian(posed)[0]
    starts, ends = ([bone[end] for bone in BONES] for end in (0, 1))
    along = torch.nn.functional.normalize(points[ends] - points[starts], dim=-1)
    growth = torch.einsum("nx,nxb->b", along, jacobian[ends] - jacobian[starts])
    return torch.nn.functional.normalize(growth, dim=0)
