"""Build network: estimates betas, with their precision, from the outlines of frames."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, pad

from ...trained_network import load_network
from ...weights_file import WEIGHTS
from .outline import NUM_FEATURES, Outlines

WEIGHTS_FILE = WEIGHTS / "build.safetensors"
NUM_BETAS = 16
NUM_ESTIMATED = 4  # the first betas; outlines do not determine the others
MAX_DEVIATION = 4.0  # of a feature, in its standard deviations
LOG_VARIANCES = (-4.0, 0.3)  # limits of the output


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """Size of the network."""

    hidden: int = 64
    dropout: float = 0.2  # in training


class Information(NamedTuple):
    """Evidence of frames for the betas, in the natural parameters of a Gaussian.

    With the population's standard normal, the betas of a frame alone have the precision
    1 + `precision` and the mean `weighted` / (1 + `precision`).
    """

    precision: Float[Tensor, "frames betas"]  # ≥ 0; zero: nothing is known
    weighted: Float[Tensor, "frames betas"]  # expected betas times their precision


class Posterior(NamedTuple):
    """First betas of single frames, the output of training."""

    mean: Float[Tensor, "frames estimated"]
    log_variance: Float[Tensor, "frames estimated"]


class BuildNetwork(nn.Module):
    """Three layers from an outline to mean and variance of the betas."""

    def __init__(self, config: BuildConfig | None = None) -> None:
        super().__init__()
        self.config = config or BuildConfig()
        hidden = self.config.hidden
        sizes = (NUM_FEATURES, hidden, hidden, 2 * NUM_ESTIMATED)
        self.layers = nn.ModuleList(
            nn.Linear(before, after) for before, after in itertools.pairwise(sizes)
        )
        self.register_buffer("mean", torch.zeros(NUM_FEATURES))
        self.register_buffer("scale", torch.ones(NUM_FEATURES))

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> "BuildNetwork":
        """Load a network that `training/builds/train_build.py` has written.

        Raises:
            BadInputError: a file is missing or damaged.
        """
        network, _ = load_network(
            "The build network", path, lambda config: cls(BuildConfig(**config))
        )
        return network

    def forward(self, vectors: Float[Tensor, "frames features"], noise: float = 0.0) -> Posterior:
        """Return the betas of frames.

        Args:
            vectors: of outlines.
            noise: added in training, in the features' standard deviations.
        """
        values = ((vectors - self.mean) / self.scale).clamp(-MAX_DEVIATION, MAX_DEVIATION)
        if noise:
            values = values + noise * torch.randn_like(values)
        for layer in self.layers[:-1]:
            values = dropout(gelu(layer(values)), self.config.dropout, self.training)
        mean, log_variance = self.layers[-1](values).split(NUM_ESTIMATED, dim=-1)
        return Posterior(mean, log_variance.clamp(*LOG_VARIANCES))

    @torch.no_grad()
    def information(self, outlines: Outlines) -> Information:
        """Return the evidence of outlines, the same for mirrored ones."""
        both = [self(each.vectors()) for each in (outlines, outlines.mirrored())]
        precisions = [((-each.log_variance).exp() - 1).clamp(min=0) for each in both]
        weighted = [
            each.mean * (1 + precision) for each, precision in zip(both, precisions, strict=True)
        ]
        return Information(
            precision=pad((precisions[0] + precisions[1]) / 2, (0, NUM_BETAS - NUM_ESTIMATED)),
            weighted=pad((weighted[0] + weighted[1]) / 2, (0, NUM_BETAS - NUM_ESTIMATED)),
        )
