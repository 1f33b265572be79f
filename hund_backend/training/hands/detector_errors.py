"""Simulated errors of a hand network, which errs by whole fingers and not point by point.

A network sees some hand that is not quite there: its palm is turned, its fingers are bent otherwise.
Landmarks are the points of that hand; keypoints are led towards it only in part, as what is seen
from the front needs no depth. How large the errors are differs from picture to picture, and the
confidence tells a part of it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ...body.hand import NUM_POINTS, HandModel
from ...body.rotations import rotvec_to_matrix
from ...descent.hands.state_decoder import PosedHand
from ...prior.hand_anatomy import THUMB_BASE, HandAnatomy

_FINGER_OF_JOINT = torch.arange(15) // 3
_FINGER_OF_POINT = torch.tensor([5] + [finger for finger in range(5) for _ in range(4)])


@dataclass(frozen=True, kw_only=True)
class HandErrorConfig:
    """Errors at level 1; a hand's level is log-normal."""

    level_std: float = 0.5  # of the level's logarithm
    turn_deg: float = 6.0  # rotation of the whole hand, about any axis
    finger_deg: float = 8.0  # flexion that the joints of a finger share
    joint_deg: float = 6.0  # flexion of a joint on its own
    sideways_deg: float = 3.0
    size: float = 0.05  # of the distance between points, logarithm
    keypoint_share: float = 0.3  # of that hand's displacement in the picture
    shift: float = 0.006  # of all keypoints, crop widths
    jitter: float = 0.004  # of each keypoint, crop widths
    finger_shift: float = 0.006  # of a finger's keypoints, growing to the tip, crop widths
    landmark_jitter: float = 0.002  # metres
    lost_finger: float = 0.05  # probability that a finger is hidden and drawn somewhere else
    lost_deg: float = 35.0


class HandDetectorOutput(NamedTuple):
    """What the network says of hands, in the crops' cameras."""

    keypoints: Float[Tensor, "batch 21 2"]  # crop widths
    landmarks: Float[Tensor, "batch 21 3"]  # metres, any center
    confidence: Float[Tensor, "batch 21"]


def simulated_output(
    posed: PosedHand,
    rest_points: Float[Tensor, "batch 21 3"],
    crop_width: Float[Tensor, " batch"],
    model: HandModel,
    anatomy: HandAnatomy,
    generator: torch.Generator,
    config: HandErrorConfig | None = None,
) -> HandDetectorOutput:
    """Return a plausible output of the network for true hands.

    Args:
        posed: the true hands.
        rest_points: their points at rest.
        crop_width: of their crops at a distance of one metre, metres.
        model: hand model.
        anatomy: axes of its joints.
        generator: random numbers.
        config: sizes of the errors.
    """
    config, count = config or HandErrorConfig(), len(rest_points)

    def normal(*size: int) -> Tensor:
        return torch.randn(count, *size, generator=generator)

    level = (config.level_std * normal(1)).exp()
    lost = (torch.rand(count, 5, generator=generator) < config.lost_finger).float()
    finger = (config.finger_deg * level + config.lost_deg * lost) * normal(5)
    flexion = finger[:, _FINGER_OF_JOINT] + config.joint_deg * level * normal(15)
    aside = config.sideways_deg * level * normal(15)
    aside[:, THUMB_BASE] *= 2.5
    angles = torch.stack((flexion, aside, torch.zeros_like(aside)), dim=-1).deg2rad()
    turn = torch.deg2rad(config.turn_deg * level) * normal(3)
    wrist = posed.rotations[:, :1] @ rotvec_to_matrix(turn)[:, None]
    fingers = posed.rotations[:, 1:] @ anatomy.rotations(angles)
    points = model(torch.cat((wrist, fingers), dim=1), rest_points)
    size = (config.size * level * normal(1)).exp()[..., None]
    landmarks = points * size + config.landmark_jitter * level[..., None] * normal(NUM_POINTS, 3)

    def project(values: Tensor) -> Float[Tensor, "batch 21 2"]:
        return values[..., :2] / values[..., 2:].clamp(min=0.05) / crop_width[:, None, None]

    exact = project(posed.points)
    imagined = project(points + posed.translation[:, None])
    growth = torch.tensor([0.0, *(bone / 3 for bone in range(4))] + [b / 3 for b in range(4)] * 4)
    shifts = torch.cat((normal(5, 2), torch.zeros(count, 1, 2)), dim=1)[:, _FINGER_OF_POINT]
    # A hidden finger is drawn where the network imagines it, one that is seen is corrected.
    share = (
        config.keypoint_share
        + (1 - config.keypoint_share)
        * torch.cat((lost, torch.zeros(count, 1)), dim=1)[:, _FINGER_OF_POINT]
    )
    keypoints = exact + share[..., None] * (imagined - exact)
    keypoints = keypoints + level[..., None] * (
        config.shift * normal(1, 2)
        + config.jitter * normal(NUM_POINTS, 2)
        + config.finger_shift * growth[:, None] * shifts
    )
    noisy_level = 0.6 * level.log() + 0.4 * normal(1)
    confidence = torch.sigmoid(2.2 - 2.0 * noisy_level).expand(count, NUM_POINTS)
    return HandDetectorOutput(keypoints, landmarks, confidence)
