"""Expected betas: prior of a person's body shape, a Gaussian with a full precision matrix."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ExpectedBetas:
    """Betas that are expected of a person, and their precision.

    The precision, in units of the population's, counts once a frame, as the evidence does: a
    detector errs by much the same amount in all frames of a clip, so many frames determine a body
    shape no better than a few.
    """

    mean: Float[Tensor, " betas"]
    precision: Float[Tensor, "betas betas"]  # symmetric, positive semidefinite

    @classmethod
    def isotropic(cls, mean: Float[Tensor, " betas"], precision: float) -> "ExpectedBetas":
        """Betas that are expected with the same precision in every direction."""
        return cls(mean=mean, precision=precision * torch.eye(len(mean)).to(mean))

    @classmethod
    def of_population(cls, like: Float[Tensor, " betas"]) -> "ExpectedBetas":
        """Betas of anybody: standard normal by construction of the basis."""
        return cls.isotropic(torch.zeros_like(like), 1.0)

    def to(self, like: Tensor) -> "ExpectedBetas":
        """The same with the precision and the device of another tensor."""
        return ExpectedBetas(mean=self.mean.to(like), precision=self.precision.to(like))

    def weighted(self, weight: float) -> "ExpectedBetas":
        """The same with a multiple of its precision."""
        return replace(self, precision=weight * self.precision)

    def observed(
        self, betas: Float[Tensor, " betas"], precision: Float[Tensor, "betas betas"]
    ) -> "ExpectedBetas":
        """Return what is expected after an observation of the betas.

        Args:
            betas: as observed.
            precision: of the observation; zero in directions that it does not determine.
        """
        total = self.precision + precision
        mean = torch.linalg.solve(total, self.precision @ self.mean + precision @ betas)
        return ExpectedBetas(mean=mean, precision=total)
