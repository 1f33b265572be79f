"""Training samples with the real network's detections, or with its errors on other hands.

A hand of a close-up comes with what the detector said of it. A hand that was never rendered gets the
errors of the detection whose true hand, as the camera sees it, is most like it: errors of a network
belong to poses and views.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...body.hand import mirrored_rotations
from ...body.rotations import rotvec_to_matrix
from ...descent.hands.inputs import HandInputs
from ...descent.hands.state_decoder import HandDecoder, PosedHand
from .detections import HandDetections
from .samples import HandDataset, HandSample


@dataclass(frozen=True, kw_only=True)
class DetectedConfig:
    """How stored detections become samples."""

    real_share: float = 0.5  # of samples that are hands of close-ups
    turn_deg: float = 20.0  # of the crop about its axis, standard deviation
    size: float = 0.1  # of the crop's side, logarithm
    strength: tuple[float, float] = (0.6, 1.2)  # of errors that another hand gets


def detected_sample(detections: HandDetections, decoder: HandDecoder) -> HandSample:
    """Return all hands that the detector keeps as left ones, in the cameras of their crops."""
    kept = detections.found
    as_tensor = lambda values: torch.from_numpy(np.ascontiguousarray(values[kept])).float()
    mirrored = torch.from_numpy(detections.side[kept] == 1)
    rest = decoder.model.rest_points(as_tensor(detections.betas))
    inputs = HandInputs.from_keypoints(
        detections.keypoints[kept],
        detections.landmarks[kept],
        detections.crop[kept],
        detections.intrinsics[kept],
        rest,
        mirrored,
    )
    to_crop = inputs.camera_from_crop.mT
    rotations = torch.cat(
        (
            (to_crop @ as_tensor(detections.orientation))[:, None],
            as_tensor(detections.fingers),
        ),
        dim=1,
    )
    place = (to_crop @ as_tensor(detections.wrist)[..., None])[..., 0]
    rotations = torch.where(
        mirrored[:, None, None, None], mirrored_rotations(rotations), rotations
    )
    place[:, 0] = torch.where(mirrored, -place[:, 0], place[:, 0])
    return HandSample(inputs, decoder.pose(rotations, place, rest))


class DetectedHands:
    """Hands of close-ups, and other hands with their errors."""

    def __init__(
        self, others: HandDataset, real: HandSample, config: DetectedConfig | None = None
    ) -> None:
        """Take both sources.

        Args:
            others: hands of any pose; their simulated detections are not used.
            real: of close-ups.
            config: of the mixture.
        """
        self.others, self.real = others, real
        self.config = config or DetectedConfig()
        inputs, truth = real
        self._looks = _look(truth)
        exact = _projected(truth, inputs)
        self._errors = (inputs.keypoints - exact) / _size(exact)
        self._offsets = inputs.landmarks - _centered(truth)

    def draw(self, count: int, generator: torch.Generator) -> HandSample:
        """Draw random hands."""
        num_real = round(self.config.real_share * count)
        real, other = self._real(num_real, generator), self._other(count - num_real, generator)
        inputs = {
            field.name: torch.cat(
                (getattr(real.inputs, field.name), getattr(other.inputs, field.name))
            )
            for field in fields(HandInputs)
        }
        truth = PosedHand(*(torch.cat(pair) for pair in zip(real.truth, other.truth, strict=True)))
        return HandSample(HandInputs(**inputs), truth)

    def _real(self, count: int, generator: torch.Generator) -> HandSample:
        rows = torch.randint(len(self._looks), (count,), generator=generator)
        inputs, config = self.real.inputs.select(rows), self.config
        angle = math.radians(config.turn_deg) * torch.randn(count, 1, generator=generator)
        turn = rotvec_to_matrix(angle * torch.tensor([0.0, 0.0, 1.0]))
        size = (config.size * torch.randn(count, generator=generator)).exp()
        rotations, points, place = (values[rows] for values in self.real.truth)
        changed = HandInputs.from_points(
            inputs.keypoints @ turn[:, :2, :2].mT / size[:, None, None],
            inputs.confidence,
            inputs.landmarks @ turn.mT,
            inputs.crop_width * size,
            inputs.camera_from_crop @ turn.mT,
            inputs.rest_points,
            inputs.mirrored,
        )
        wrist = (turn @ rotations[:, 0])[:, None]
        rotations = torch.cat((wrist, rotations[:, 1:]), dim=1)
        place = (turn @ place[..., None])[..., 0]
        truth = PosedHand(rotations, points @ turn.mT, place)
        return HandSample(changed, truth)

    def _other(self, count: int, generator: torch.Generator) -> HandSample:
        inputs, truth = self.others.draw(count, generator)
        rows = torch.cdist(_look(truth), self._looks).argmin(-1)
        low, high = self.config.strength
        strength = low + (high - low) * torch.rand(count, 1, 1, generator=generator)
        exact = _projected(truth, inputs)
        changed = HandInputs.from_points(
            exact + strength * _size(exact) * self._errors[rows],
            self.real.inputs.confidence[rows],
            _centered(truth) + strength * self._offsets[rows],
            inputs.crop_width,
            inputs.camera_from_crop,
            inputs.rest_points,
            inputs.mirrored,
        )
        return HandSample(changed, truth)


def _projected(truth: PosedHand, inputs: HandInputs) -> Float[Tensor, "batch 21 2"]:
    """True keypoints, crop widths."""
    return truth.points[..., :2] / truth.points[..., 2:] / inputs.crop_width[:, None, None]


def _size(keypoints: Float[Tensor, "batch 21 2"]) -> Float[Tensor, "batch 1 1"]:
    """Longer side of the box around the points."""
    return (keypoints.amax(1) - keypoints.amin(1)).amax(-1)[:, None, None]


def _centered(truth: PosedHand) -> Float[Tensor, "batch 21 3"]:
    return truth.points - truth.points.mean(1, keepdim=True)


def _look(truth: PosedHand) -> Float[Tensor, "batch values"]:
    """Points as the camera sees them, without place and size."""
    points = _centered(truth)
    return (points / points.norm(dim=-1).mean(1)[:, None, None]).flatten(1)
