"""Detector errors: errors of BlazePose on pictures with known people, transferred to other people.

Of pictures with known people the errors of all 33 keypoints and landmarks are stored together with
their confidences. A person without a picture gets the errors of a person in a similar pose. So
biases, limbs that are displaced as wholes, swapped sides, guesses beyond the frame's edge and the
confidences that go with them are those of the detector, not of a model of it. Some sides and limbs
are corrupted in addition, because real pictures are harder than synthetic ones.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...body.skeleton import BLAZEPOSE_NAMES, KEYPOINT_MIRROR

_ENDS = {"arm": ("elbow", "wrist", "pinky", "index", "thumb"), "leg": ("knee", "ankle", "heel")}
LIMBS = tuple(
    tuple(
        keypoint
        for keypoint, name in enumerate(BLAZEPOSE_NAMES)
        if name.startswith(side) and name.split("_", 1)[1] in (*ends, *extra)
    )
    for side in ("left", "right")
    for ends, extra in ((_ENDS["arm"], ()), (_ENDS["leg"], ("foot_index",)))
)
LEGS = tuple(
    keypoint
    for keypoint, name in enumerate(BLAZEPOSE_NAMES)
    if any(part in name for part in ("knee", "ankle", "heel", "foot"))
)
ARMS = tuple(
    keypoint
    for keypoint, name in enumerate(BLAZEPOSE_NAMES)
    if any(part in name for part in ("elbow", "wrist", "pinky", "index", "thumb"))
    and "foot" not in name
)


class DetectorOutput(NamedTuple):
    """Keypoints in crop widths and landmarks in metres, with confidence."""

    keypoints: Float[Tensor, "batch keypoints 2"]
    landmarks: Float[Tensor, "batch keypoints 3"]
    confidence: Float[Tensor, "batch keypoints"]


@dataclass(frozen=True, kw_only=True)
class ErrorConfig:
    """Transfer of the errors, and additional corruption."""

    num_donors: int = 512  # among which the most similar pose is found
    min_scale: float = 0.1  # of the transferred errors, drawn between this and the next
    max_scale: float = 0.9  # below 1: synthetic pictures are harder than most real ones
    jitter: float = 0.004  # crop widths: noise of each keypoint on its own
    displaced: float = 0.06  # probability of a limb to be displaced, with low confidence
    displacement: float = 0.1  # crop widths
    swapped: float = 0.03  # probability of the legs, or the arms, to be swapped
    low_confidence: float = 0.15  # probability of low confidence for a limb that is right


class DetectorErrors:
    """Errors of a detector, which are transferred to other people."""

    def __init__(
        self, true: DetectorOutput, output: DetectorOutput, config: ErrorConfig | None = None
    ) -> None:
        """Store the errors of an output; the confidence of `true` is not used."""
        self.config = config or ErrorConfig()
        self.descriptors = _descriptor(true)
        self.keypoints = output.keypoints - true.keypoints
        self.landmarks = output.landmarks - true.landmarks
        self.confidence = output.confidence

    def apply(self, true: DetectorOutput, generator: torch.Generator) -> DetectorOutput:
        """Return a plausible output of the detector for other people."""
        config, count = self.config, len(true.keypoints)
        donors = torch.randperm(len(self.descriptors), generator=generator)[: config.num_donors]
        distances = torch.cdist(_descriptor(true), self.descriptors[donors])
        donor = donors[distances.argmin(1)]
        scale = config.min_scale + (config.max_scale - config.min_scale) * torch.rand(
            count, 1, 1, generator=generator
        )
        jitter = config.jitter * torch.randn(true.keypoints.shape, generator=generator)
        output = DetectorOutput(
            true.keypoints + scale * self.keypoints[donor] + jitter,
            true.landmarks + scale * self.landmarks[donor],
            self.confidence[donor],
        )
        return self._corrupt(output, generator)

    def _corrupt(self, output: DetectorOutput, generator: torch.Generator) -> DetectorOutput:
        """Displace limbs, lower confidences and swap sides at random."""
        config, count = self.config, len(output.keypoints)
        keypoints, landmarks, confidence = output
        for limb in LIMBS:
            mask = torch.zeros(len(BLAZEPOSE_NAMES))
            mask[list(limb)] = 1
            displaced = bernoulli(config.displaced, count, generator) * mask
            offset = config.displacement * torch.randn(*keypoints.shape, generator=generator)
            common = torch.randn(count, 1, 2, generator=generator)
            offset = offset + config.displacement * common
            keypoints = keypoints + displaced[..., None] * offset
            doubted = bernoulli(config.low_confidence, count, generator) * mask
            doubted = doubted.maximum(displaced)
            factor = 0.3 * torch.rand(count, 1, generator=generator)
            confidence = torch.where(doubted > 0, confidence * factor, confidence)
        for pair in (LEGS, ARMS):
            order = torch.arange(len(BLAZEPOSE_NAMES))
            order[list(pair)] = torch.tensor(KEYPOINT_MIRROR["blazepose"])[list(pair)]
            swapped = bernoulli(config.swapped, count, generator) > 0
            keypoints = _where(swapped, keypoints[:, order], keypoints)
            landmarks = _where(swapped, landmarks[:, order], landmarks)
        return DetectorOutput(keypoints, landmarks, confidence)


def bernoulli(
    probability: float, count: int, generator: torch.Generator
) -> Float[Tensor, "count 1"]:
    """One with the given probability, else zero."""
    return (torch.rand(count, 1, generator=generator) < probability).float()


def _descriptor(true: DetectorOutput) -> Float[Tensor, "batch components"]:
    """Vector whose distance tells how similar two poses are."""
    return torch.cat((2 * true.keypoints.flatten(1), true.landmarks.flatten(1)), dim=-1)


def _where(
    mask: Bool[Tensor, "batch 1"],
    values: Float[Tensor, "batch keypoints components"],
    others: Float[Tensor, "batch keypoints components"],
) -> Float[Tensor, "batch keypoints components"]:
    return torch.where(mask[..., None], values, others)
