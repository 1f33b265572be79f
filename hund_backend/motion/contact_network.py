"""Contact network: which points of the soles bear on something, from the motion around a frame."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import dropout1d, gelu

from ..body.soles import SOLE_NAMES
from ..trained_network import load_network
from ..weights_file import WEIGHTS
from .contact_features import FEATURE_FPS, NUM_FEATURES, FootMotion, contact_features, resample

WEIGHTS_FILE = WEIGHTS / "contacts.safetensors"


@dataclass(frozen=True, kw_only=True)
class ContactConfig:
    """Size of the network."""

    channels: int = 32
    kernel: int = 5  # frames
    dilations: tuple[int, ...] = (1, 2, 4)  # of the layers
    dropout: float = 0.2  # of channels, in training


class ContactNetwork(nn.Module):
    """Convolutions over time, to the log-odds of each point's contact."""

    def __init__(self, config: ContactConfig | None = None) -> None:
        super().__init__()
        self.config = config or ContactConfig()
        channels, kernel = self.config.channels, self.config.kernel
        sizes = [NUM_FEATURES] + [channels] * len(self.config.dilations)
        self.layers = nn.ModuleList(
            nn.Conv1d(size, channels, kernel, dilation=dilation)
            for size, dilation in zip(sizes[:-1], self.config.dilations, strict=True)
        )
        self.head = nn.Conv1d(channels, len(SOLE_NAMES), 1)
        self.register_buffer("mean", torch.zeros(NUM_FEATURES))
        self.register_buffer("scale", torch.ones(NUM_FEATURES))

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> "ContactNetwork":
        """Load a network that `training/motion/train_contacts.py` has written.

        Raises:
            BadInputError: a file is missing or damaged.
        """

        def build(config: dict[str, Any]) -> "ContactNetwork":
            return cls(ContactConfig(**config | {"dilations": tuple(config["dilations"])}))

        network, _ = load_network("The contact network", path, build)
        return network

    def forward(
        self, features: Float[Tensor, "batch frames features"]
    ) -> Float[Tensor, "batch frames 6"]:
        """Return log-odds; beyond the ends, the first and the last frame are repeated."""
        values = ((features - self.mean) / self.scale).mT
        for number, layer in enumerate(self.layers):
            reach = layer.dilation[0] * (layer.kernel_size[0] - 1) // 2
            padded = nn.functional.pad(values, (reach, reach), mode="replicate")
            after = dropout1d(gelu(layer(padded)), self.config.dropout, self.training)
            values = after if number == 0 else values + after
        return self.head(values).mT

    @torch.no_grad()
    def bearing(
        self,
        motion: FootMotion,
        times: Float[np.ndarray, " frames"],
        up: Float[np.ndarray, "3"],
    ) -> Float[np.ndarray, "frames 6"]:
        """Return the probability that each point of SOLE_NAMES bears on something.

        Args:
            motion: at the clip's own times.
            times: of the frames, seconds.
            up: unit vector away from the ground.
        """
        count = max(round((times[-1] - times[0]) * FEATURE_FPS) + 1, 1)
        samples = times[0] + np.arange(count) / FEATURE_FPS
        features = contact_features(motion.resampled(times, samples), up)
        parameter = self.head.weight
        log_odds = self(torch.from_numpy(features).to(parameter)[None])[0]
        values = resample(log_odds.double().numpy(force=True), samples, times)
        return 0.5 * (1 + np.tanh(0.5 * values))
