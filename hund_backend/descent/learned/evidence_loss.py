"""Feedback: what a stage is told of the state that the stage before has left.

The losses L(s) of the state, one value a term, as in the paper, and (our extension) the residuals
that they are made of: how far each keypoint and landmark is off, and what the part map shows where
the body's limbs are. They are values, never gradients: a stage learns what to do about them.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from hund_backend.body.skeleton import PART_MIRROR, PART_NAMES
from hund_backend.descent.learned.inputs import NetworkInputs, hip_centered
from hund_backend.descent.learned.state_decoder import Posed, StateVector
from hund_backend.descent.reduced_body import REDUCED_JOINTS
from hund_backend.descent.targets import keypoint_weights

TERMS = ("keypoints", "landmarks", "prior", "build", "parts")
NEAR = 0.1  # metres: what is nearer to the camera is taken to be there

# Along which joints each part is looked for in the map, and where between them.
_ALONG = (0.25, 0.5, 0.75)
_LIMBS = {
    "upper_arm": ("Upperarm", "Lowerarm"),
    "forearm": ("Lowerarm", "Hand"),
    "thigh": ("Thigh", "Calf"),
    "calf": ("Calf", "Ankle"),
    "foot": ("Ankle", "Ball"),
}
_AXES = (
    *(
        (f"{side}_{part}", start + side[0].upper(), end + side[0].upper(), share)
        for part, (start, end) in _LIMBS.items()
        for side in ("left", "right")
        for share in _ALONG
    ),
    *(("left_hand", "LowerarmL", "HandL", 1.25), ("right_hand", "LowerarmR", "HandR", 1.25)),
    *(("head", "Neck01", "Head01", share) for share in (1.2, 1.8)),
    *(("torso", "Pelvis", "Spine03", share) for share in (0.2, 0.6, 1.0)),
)


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the terms; at the truth of a usual picture each is near or below one."""

    keypoints: float = 100.0  # a per cent of the crop's width counts one
    rounding: float = 0.004  # spans: nearer than that, a keypoint's distance counts as its square
    landmarks: float = 4.0  # a metre counts so much
    prior: float = 1.0  # mean square of the latent
    build: float = 0.2  # mean square of the betas
    parts: float = 1.0  # share of the limbs' middles where the map shows something else


class LossValues(NamedTuple):
    """The losses of a state, and their residuals."""

    terms: Float[Tensor, "batch terms"]  # weighted, in the order of TERMS
    residuals: Float[Tensor, "batch residuals"]

    @property
    def loss(self) -> Float[Tensor, " batch"]:
        """L(s), in per cent of the crop's width more or less."""
        return self.terms.sum(-1)


class EvidenceLoss(nn.Module):
    """Compares a state with the evidence."""

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.config = config
        place = {name: i for i, name in enumerate(REDUCED_JOINTS)}
        mixing = torch.zeros(len(_AXES), len(REDUCED_JOINTS))
        for row, (_, start, end, share) in enumerate(_AXES):
            mixing[row, place[start]] += 1 - share
            mixing[row, place[end]] += share
        own = torch.tensor([PART_NAMES.index(part) for part, *_ in _AXES])
        self.register_buffer("mixing", mixing, persistent=False)
        self.register_buffer("own", own, persistent=False)
        self.register_buffer("other", torch.tensor(PART_MIRROR)[own], persistent=False)
        self.register_buffer("shares", keypoint_weights(), persistent=False)

    @property
    def size(self) -> int:
        """How many residuals there are."""
        return 5 * len(self.shares) + 3 * len(_AXES)

    def forward(self, numbers: StateVector, posed: Posed, seen: NetworkInputs) -> LossValues:
        """The losses of a state."""
        config = self.config
        depth = posed.points[..., 2:].clamp(min=NEAR)
        rays = posed.points[..., :2] / depth / seen.span[:, None, None]
        missed = rays - seen.keypoints
        apart = hip_centered(posed.points) - seen.landmarks
        weights = seen.confidence * self.shares
        total = weights.sum(-1) + 1
        distance = (missed.square().sum(-1) + config.rounding**2).sqrt() - config.rounding
        depths = (apart.square().sum(-1) + 1e-4).sqrt() - 1e-2
        shown = self._shown(posed, seen)
        astray = (1 - shown[..., 0]).mean(-1) * seen.has_parts
        terms = (
            config.keypoints * (weights * distance).sum(-1) / total,
            config.landmarks * (weights * depths).sum(-1) / total,
            config.prior * numbers.latent.square().mean(-1),
            config.build * numbers.betas.square().mean(-1),
            config.parts * astray,
        )
        residuals = (
            _squashed(missed, 0.04).flatten(1),
            _squashed(apart, 0.1).flatten(1),
            shown.flatten(1) * seen.has_parts[:, None],
        )
        return LossValues(torch.stack(terms, dim=-1), torch.cat(residuals, dim=-1))

    def _shown(self, posed: Posed, seen: NetworkInputs) -> Float[Tensor, "batch places 3"]:
        """What the map shows at the limbs' middles: that part, the other side's, nobody."""
        if not seen.has_parts.any():
            return seen.span.new_zeros(len(seen), len(self.own), 3)
        places = (self.mixing @ posed.joints) @ seen.window.mT
        places = places[..., :2] / places[..., 2:].clamp(min=NEAR)
        probs = grid_sample(
            seen.parts, places[:, None].clamp(-4, 4), align_corners=False
        )  # batch parts 1 places
        probs = probs[:, :, 0].mT
        rows = torch.arange(len(self.own), device=probs.device)
        told = [probs[:, rows, part] for part in (self.own, self.other)]
        return torch.stack((*told, probs[..., 0]), dim=-1)


def _squashed(values: Float[Tensor, "*shape"], unit: float) -> Float[Tensor, "*shape"]:
    """Near zero in units, far out by their logarithm."""
    return torch.asinh(values / unit)
