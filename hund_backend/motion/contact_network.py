"""Contact network: which points of the body bear on something, from the motion around a frame."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import dropout1d, gelu

from ..body.contact_points import CONTACT_NAMES, MIRRORED_POINTS
from ..weights_file import WEIGHTS, load_weights
from .contact_features import (
    ACROSS,
    CONFIDENCE,
    FEATURE_FPS,
    HEIGHTS,
    NUM_FEATURES,
    PELVIS_UP,
    PELVIS_VELOCITY,
    POSITIONS,
    VELOCITIES,
    PointMotion,
    contact_features,
    resample,
)

WEIGHTS_FILE = WEIGHTS / "contacts.safetensors"


KINDS = ("heel", "ball", "toe", "hand", "knee", "seat")
POINTS = range(len(CONTACT_NAMES))


@dataclass(frozen=True, kw_only=True)
class ContactConfig:
    """Size of the network."""

    channels: int = 40
    kernel: int = 5  # frames
    dilations: tuple[int, ...] = (1, 2, 4)  # of the layers
    dropout: float = 0.2  # of channels, in training


class ContactNetwork(nn.Module):
    """Convolutions over time, to the log-odds of each point's contact.

    All points share the weights, and are told apart by their kind: few people bear on their hands or
    knees in captured motion, but a hand that bears moves as a heel does. A point sees its own
    motion, the pelvis's, and heights and speeds of all points. Those of the right side see the
    mirrored motion.
    """

    def __init__(self, config: ContactConfig | None = None) -> None:
        super().__init__()
        self.config = config or ContactConfig()
        channels, kernel = self.config.channels, self.config.kernel
        columns, signs = _inputs()
        kinds = nn.functional.one_hot(
            torch.tensor([KINDS.index(name.split("_")[1]) for name in CONTACT_NAMES]), len(KINDS)
        )
        sizes = [columns.shape[1] + len(KINDS)] + [channels] * len(self.config.dilations)
        self.layers = nn.ModuleList(
            nn.Conv1d(size, channels, kernel, dilation=dilation)
            for size, dilation in zip(sizes[:-1], self.config.dilations, strict=True)
        )
        self.head = nn.Conv1d(channels, 1, 1)
        self.register_buffer("columns", columns, persistent=False)
        self.register_buffer("signs", signs, persistent=False)
        self.register_buffer("kinds", kinds.float(), persistent=False)
        self.register_buffer("mean", torch.zeros(NUM_FEATURES))
        self.register_buffer("scale", torch.ones(NUM_FEATURES))
        self.register_buffer("slopes", torch.ones(len(POINTS)))  # of the calibration
        self.register_buffer("offsets", torch.zeros(len(POINTS)))

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> "ContactNetwork":
        """Load a network that `training/motion/train_contacts.py` has written.

        Raises:
            BadInputError: a file is missing or damaged.
        """
        with load_weights("The contact network", path):
            description = json.loads(path.with_suffix(".json").read_text())
            config = description["config"]
            network = cls(ContactConfig(**config | {"dilations": tuple(config["dilations"])}))
            network.load_state_dict(load_file(path))
        return network.eval().requires_grad_(False)

    def forward(
        self, features: Float[Tensor, "batch frames features"], points: Sequence[int] = POINTS
    ) -> Float[Tensor, "batch frames points"]:
        """Return log-odds of some points; beyond the ends, the outermost frames are repeated."""
        batch, frames = features.shape[:2]
        normal = (features - self.mean) / self.scale
        points = list(points)
        own = normal[..., self.columns[points]] * self.signs[points]
        kinds = self.kinds[points].expand(batch, frames, -1, -1)
        values = torch.cat((own, kinds), dim=-1).permute(0, 2, 3, 1).flatten(0, 1)
        for number, layer in enumerate(self.layers):
            reach = layer.dilation[0] * (layer.kernel_size[0] - 1) // 2
            padded = nn.functional.pad(values, (reach, reach), mode="replicate")
            after = dropout1d(gelu(layer(padded)), self.config.dropout, self.training)
            values = after if number == 0 else values + after
        log_odds = self.head(values).unflatten(0, (batch, len(points)))[:, :, 0].mT
        return self.slopes[points] * log_odds + self.offsets[points]

    @torch.no_grad()
    def bearing(
        self,
        motion: PointMotion,
        times: Float[np.ndarray, " frames"],
        up: Float[np.ndarray, "3"],
    ) -> Float[np.ndarray, "frames 12"]:
        """Return the probability that each point of CONTACT_NAMES bears on something.

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


def _inputs() -> tuple[Int[Tensor, "12 inputs"], Float[Tensor, "12 inputs"]]:
    """Return the features that each point sees, and their signs: x is outwards on both sides."""
    columns, signs = [], []
    for point, name in enumerate(CONTACT_NAMES):
        mirrors = name.startswith("right")
        order = MIRRORED_POINTS if mirrors else list(POINTS)
        vectors = [first.start + 3 * point for first in (POSITIONS, VELOCITIES)]
        vectors += [PELVIS_VELOCITY.start, PELVIS_UP.start]
        own = [start + axis for start in vectors for axis in range(3)]
        single = [first.start + point for first in (ACROSS, HEIGHTS, CONFIDENCE)]
        every = [first.start + other for first in (ACROSS, HEIGHTS) for other in order]
        columns.append(own + single + every)
        flipped = [-1.0 if mirrors and axis == 0 else 1.0 for _ in vectors for axis in range(3)]
        signs.append(flipped + [1.0] * (len(single) + len(every)))
    return torch.tensor(columns), torch.tensor(signs)
