"""The detector's errors: what BlazePose says of people whose keypoints are known, lent to others.

Of pictures with known people the errors of all 33 keypoints and landmarks are kept together with
the confidences that came with them. A person without a picture is given the errors of one who
stands much like him: so biases, limbs that go astray as wholes, exchanged sides, guesses beyond
the frame's edge and the confidence that goes with each are as they are, not as we model them.
Some sides and limbs are spoiled on top, because real pictures are harder than made ones.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hund_backend.body.skeleton import BLAZEPOSE_NAMES, KEYPOINT_MIRROR

_ENDS = {"arm": ("elbow", "wrist", "pinky", "index", "thumb"), "leg": ("knee", "ankle", "heel")}
LIMBS = tuple(
    tuple(
        place
        for place, name in enumerate(BLAZEPOSE_NAMES)
        if name.startswith(side) and name.split("_", 1)[1] in (*ends, *extra)
    )
    for side in ("left", "right")
    for ends, extra in ((_ENDS["arm"], ()), (_ENDS["leg"], ("foot_index",)))
)
LEGS = tuple(
    place
    for place, name in enumerate(BLAZEPOSE_NAMES)
    if any(part in name for part in ("knee", "ankle", "heel", "foot"))
)
ARMS = tuple(
    place
    for place, name in enumerate(BLAZEPOSE_NAMES)
    if any(part in name for part in ("elbow", "wrist", "pinky", "index", "thumb"))
    and "foot" not in name
)


class Told(NamedTuple):
    """Keypoints in spans, landmarks in metres, with confidence."""

    keypoints: Float[Tensor, "batch keypoints 2"]
    landmarks: Float[Tensor, "batch keypoints 3"]
    confidence: Float[Tensor, "batch keypoints"]


@dataclass(frozen=True, kw_only=True)
class ErrorConfig:
    """How errors are lent and what is spoiled on top."""

    lenders: int = 512  # of them the likest lends
    least: float = 0.1  # factor of the lent errors, drawn between this and the next
    most: float = 0.9  # made pictures are harder than most real ones
    jitter: float = 0.004  # spans: of every keypoint, independent
    astray: float = 0.06  # probability that a limb is somewhere else, and doubted
    far: float = 0.1  # spans by which it is
    exchanged: float = 0.03  # probability that legs, or arms, are exchanged
    doubted: float = 0.15  # probability that a limb is doubted though it is right


class DetectorErrors:
    """Lends errors."""

    def __init__(self, true: Told, told: Told, config: ErrorConfig | None = None) -> None:
        """Keep what was told of some people, and what is true (its confidence means nothing)."""
        self.config = config or ErrorConfig()
        self.likeness = _likeness(true)
        self.keypoints = told.keypoints - true.keypoints
        self.landmarks = told.landmarks - true.landmarks
        self.confidence = told.confidence

    def applied(self, true: Told, generator: torch.Generator) -> Told:
        """What the detector might have told of others."""
        config, count = self.config, len(true.keypoints)
        lenders = torch.randperm(len(self.likeness), generator=generator)[: config.lenders]
        apart = torch.cdist(_likeness(true), self.likeness[lenders])
        lender = lenders[apart.argmin(1)]
        factor = config.least + (config.most - config.least) * torch.rand(
            count, 1, 1, generator=generator
        )
        jitter = config.jitter * torch.randn(true.keypoints.shape, generator=generator)
        told = Told(
            true.keypoints + factor * self.keypoints[lender] + jitter,
            true.landmarks + factor * self.landmarks[lender],
            self.confidence[lender],
        )
        return self._spoiled(told, generator)

    def _spoiled(self, told: Told, generator: torch.Generator) -> Told:
        config, count = self.config, len(told.keypoints)
        keypoints, landmarks, confidence = told
        for limb in LIMBS:
            at = torch.zeros(len(BLAZEPOSE_NAMES))
            at[list(limb)] = 1
            astray = chance_of(config.astray, count, generator) * at
            away = config.far * torch.randn(*keypoints.shape, generator=generator)
            away = away + config.far * torch.randn(count, 1, 2, generator=generator)
            keypoints = keypoints + astray[..., None] * away
            doubted = (chance_of(config.doubted, count, generator) * at).maximum(astray)
            doubt = 0.3 * torch.rand(count, 1, generator=generator)
            confidence = torch.where(doubted > 0, confidence * doubt, confidence)
        for pair in (LEGS, ARMS):
            order = torch.arange(len(BLAZEPOSE_NAMES))
            order[list(pair)] = torch.tensor(KEYPOINT_MIRROR["blazepose"])[list(pair)]
            swapped = chance_of(config.exchanged, count, generator) > 0
            keypoints = _where(swapped, keypoints[:, order], keypoints)
            landmarks = _where(swapped, landmarks[:, order], landmarks)
        return Told(keypoints, landmarks, confidence)


def chance_of(share: float, count: int, generator: torch.Generator) -> Float[Tensor, "count 1"]:
    """One with the given probability, else zero."""
    return (torch.rand(count, 1, generator=generator) < share).float()


def _likeness(true: Told) -> Float[Tensor, "batch numbers"]:
    """Numbers by which people who look alike are near each other."""
    return torch.cat((2 * true.keypoints.flatten(1), true.landmarks.flatten(1)), dim=-1)


def _where(
    chosen: Bool[Tensor, "batch 1"],
    yes: Float[Tensor, "batch keypoints components"],
    no: Float[Tensor, "batch keypoints components"],
) -> Float[Tensor, "batch keypoints components"]:
    return torch.where(chosen[..., None], yes, no)
