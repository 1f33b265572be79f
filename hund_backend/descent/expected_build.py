"""Expected build: what a person's betas are expected to be before keypoints are fitted."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ExpectedBuild:
    """Betas that outlines let expect, with their precision; of everybody: zero and one."""

    betas: Float[Tensor, " betas"]
    precision: Float[Tensor, " betas"]  # ≥ 1
