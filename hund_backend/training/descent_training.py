"""Training of a learned descent of any region: what the recipes of body, hands and faces share."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..descent.learned.meta_loss import Form, meta_loss
from ..descent.learned.network import Step


@dataclass(frozen=True, kw_only=True)
class DescentRecipe:
    """Training of a learned descent."""

    form: Form = "sum"  # of the meta loss; its weights are the next three
    initial: float = 0.3  # of L^0
    warmup: float = 0.0  # of the sum beside the improvement
    progress: float = 0.3  # of the meta-regularization
    stages: tuple[int, int]  # range of M in training, drawn for each batch
    steps: int
    batch: int
    rate: float
    decay: float = 1e-3
    clip: float = 1.0  # largest norm of the gradient
    every: int = 150  # steps between evaluations
    seed: int = 0

    def draw_stages(self, generator: torch.Generator) -> int:
        """Draw M."""
        low, high = self.stages
        return int(torch.randint(low, high + 1, (), generator=generator))

    def loss(self, costs: list[Float[Tensor, " batch"]]) -> Float[Tensor, ""]:
        """Meta loss of the costs of s_0 … s_M, with their truth or without it."""
        return meta_loss(
            torch.stack(costs),
            self.form,
            initial=self.initial,
            warmup=self.warmup,
            progress=self.progress,
        )


def stage_means(
    steps: list[Step], metric: Callable[[Step], Float[Tensor, "..."]], digits: int
) -> list[float]:
    """Mean of a metric at s_0 … s_M, rounded."""
    return [round(float(metric(step).mean()), digits) for step in steps]
