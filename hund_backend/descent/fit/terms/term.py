"""Interface of an energy term."""

from typing import ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from ..linearization import EvaluationPoint, LinearizationPoint
from ..solver import NormalEquations


@runtime_checkable
class Term(Protocol):
    """Energy of the variables in each frame, with its derivatives.

    Terms are in units of their own noise, ½ Σ c ρ(‖r / σ‖²), so that each reads as a negative
    log-likelihood and weights are plain numbers near one.
    """

    names: ClassVar[tuple[str, ...]]
    """Of the columns that `energies` returns; in `energy.TERMS`."""
    rigid_invariant: ClassVar[bool]
    """Whether rotating and translating the whole body in each frame leaves the energy as it is."""

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Weighted energy of each frame, for each name; a term in time counts in its middle frame."""
        ...

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add the term's gradient and its Hessian without second derivatives of the residuals."""
        ...
