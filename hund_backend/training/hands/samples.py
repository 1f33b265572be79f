"""Training samples of a hand's descent: poses before random cameras, with simulated detections."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...body.hand import HandModel
from ...body.rotations import quaternion_to_matrix, rotvec_to_matrix
from ...body.skeleton import LEFT_HAND_JOINTS
from ...descent.hands.inputs import HandInputs
from ...descent.hands.state_decoder import HandDecoder, PosedHand
from ...prior.hand_anatomy import HandAnatomy
from ..priors.density import PoseSampler
from .detector_errors import HandErrorConfig, simulated_output


@dataclass(frozen=True, kw_only=True)
class HandSampleConfig:
    """Distribution of cameras and crops."""

    fov_deg: tuple[float, float] = (1.0, 16.0)  # of a crop; 16°: the hand nearly fills the picture
    crop_size: tuple[float, float] = (1.6, 2.8)  # crop's side in sizes of the hand seen
    off_center: float = 0.05  # crop widths
    crop_turn_deg: float = 15.0  # of crops whose upward direction is that of the fingers


class HandSample(NamedTuple):
    """Inputs of the network and the true hands, in the crops' cameras."""

    inputs: HandInputs
    truth: PosedHand

    def select(self, indices: Int[Tensor, " chosen"] | slice) -> "HandSample":
        """Some of the samples."""
        truth = PosedHand(*(values[indices] for values in self.truth))
        return HandSample(self.inputs.select(indices), truth)


class HandDataset:
    """Left hands of a sampler's poses, of all shapes, from all sides."""

    def __init__(
        self,
        poses: PoseSampler,
        decoder: HandDecoder,
        errors: HandErrorConfig | None = None,
        config: HandSampleConfig | None = None,
    ) -> None:
        """Take a source of poses.

        Args:
            poses: of the whole body, of which the left fingers are used.
            decoder: state decoder of the hand.
            errors: of the simulated detections.
            config: cameras and crops.
        """
        self.poses, self.decoder = poses, decoder
        self.errors, self.config = errors or HandErrorConfig(), config or HandSampleConfig()
        self.anatomy = HandAnatomy(decoder.model.rest)

    def draw(self, count: int, generator: torch.Generator) -> HandSample:
        """Draw random hands."""
        fingers = self.poses.draw(count, generator)[:, [joint - 1 for joint in LEFT_HAND_JOINTS]]
        model: HandModel = self.decoder.model
        rest = model.rest_points(torch.randn(count, 16, generator=generator))
        rotations, translation, crop_width = self._place(fingers, rest, generator)
        posed = self.decoder.pose(rotations, translation, rest)
        output = simulated_output(
            posed, rest, crop_width, model, self.anatomy, generator, self.errors
        )
        inputs = HandInputs.from_points(
            output.keypoints,
            output.confidence,
            output.landmarks,
            crop_width,
            torch.eye(3).expand(count, 3, 3),
            rest,
            torch.zeros(count, dtype=torch.bool),
        )
        return HandSample(inputs, posed)

    def _place(
        self,
        fingers: Float[Tensor, "count 15 3 3"],
        rest: Float[Tensor, "count 21 3"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "count 16 3 3"], Float[Tensor, "count 3"], Float[Tensor, " count"]]:
        """Rotations with the wrist's, the place of the wrist and the width of the crop."""
        config, count = self.config, len(fingers)

        def uniform(low: float, high: float) -> Float[Tensor, " count"]:
            return low + (high - low) * torch.rand(count, generator=generator)

        wrist = _random_rotations(count, generator)
        rotations = torch.cat((wrist[:, None], fingers), dim=1)
        points = self.decoder.model(rotations, rest)
        # Crops stand upright with the hand: the middle knuckle above the wrist.
        up = points[:, 9, :2]
        noise = math.radians(config.crop_turn_deg) * torch.randn(count, generator=generator)
        angle = -math.pi / 2 - torch.atan2(up[:, 1], up[:, 0]) + noise
        roll = rotvec_to_matrix(angle[:, None] * torch.tensor([0.0, 0.0, 1.0]))
        rotations = torch.cat(((roll @ wrist)[:, None], fingers), dim=1)
        points = (roll[:, None] @ points[..., None])[..., 0]
        low, high = points[..., :2].amin(1), points[..., :2].amax(1)
        size = (high - low).amax(-1).clamp(min=0.06) * uniform(*config.crop_size)
        low_fov, high_fov = (math.log(value) for value in config.fov_deg)
        width = 2 * torch.deg2rad(uniform(low_fov, high_fov).exp() / 2).tan()
        depth = size / width
        off = config.off_center * torch.randn(count, 2, generator=generator)
        center = (low + high) / 2 - off * size[:, None]
        middle = (points[..., 2].amin(1) + points[..., 2].amax(1)) / 2
        nearest = 0.12  # metres: no hand touches the lens
        depth = depth.clamp(min=nearest)
        translation = torch.cat((-center, (depth - middle)[:, None]), dim=-1)
        return rotations, translation, size / depth


def _random_rotations(count: int, generator: torch.Generator) -> Float[Tensor, "count 3 3"]:
    """Rotations, uniform over all."""
    return quaternion_to_matrix(torch.randn(count, 4, generator=generator))
