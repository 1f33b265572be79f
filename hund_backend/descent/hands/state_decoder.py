"""Hand state decoder: from the state vector of a hand's descent to a posed left hand."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...body.hand import HandModel
from ...body.rotations import matrix_to_sixd, sixd_to_matrix
from ...body.skeleton import LEFT_HAND_JOINTS
from ...prior.pose_flow import PoseFlow
from ..learned.flow_decoder import FlowDecoder
from .inputs import HandInputs

_FILLING_SIZE = 0.36  # metres: width at the hand's distance of a crop twice as wide as the hand
_LOG_DEPTH_RANGE = (-2.0, 2.0)
_NO_TURN = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


class HandVector(NamedTuple):
    """State s of a hand in the numbers that the stages change; in the crop's camera."""

    latent: Float[Tensor, "batch latent"]  # of the fingers
    turn: Float[Tensor, "batch 6"]  # 6D rotation of the wrist from the palm's landmarks
    position: Float[Tensor, "batch 3"]
    """x / z and y / z of the wrist in crop widths; log of z over that of a hand that fills half the
    crop."""

    def flat(self) -> Float[Tensor, "batch state"]:
        """One vector."""
        return torch.cat(tuple(self), dim=-1)


class PosedHand(NamedTuple):
    """Posed left hand of a state; crop's camera, metres."""

    rotations: Float[Tensor, "batch 16 3 3"]  # wrist → camera, then the finger joints
    points: Float[Tensor, "batch 21 3"]  # landmarks
    translation: Float[Tensor, "batch 3"]  # wrist joint


class HandDecoder(nn.Module):
    """Differentiable map from state vectors to posed hands; it has no parameters.

    Attributes:
        latent_size: length of the latent.
        state_size: length of the whole state vector.
    """

    def __init__(self, model: HandModel, prior: PoseFlow) -> None:
        """Prepare model and prior.

        Args:
            model: the hand.
            prior: flow over the finger joints, in the skeleton's order.
        """
        super().__init__()
        assert prior.joints == tuple(joint - 1 for joint in LEFT_HAND_JOINTS)
        self.model = model
        self.flow = FlowDecoder(prior)
        self.latent_size = self.flow.latent_size
        self.state_size = self.latent_size + 6 + 3

    def forward(self, vector: HandVector, inputs: HandInputs) -> PosedHand:
        """Posed hand of a state."""
        fingers = sixd_to_matrix(self.flow(vector.latent).unflatten(-1, (-1, 6)))
        wrist = inputs.palm_rotation @ sixd_to_matrix(vector.turn)
        rotations = torch.cat((wrist[:, None], fingers), dim=1)
        log_depth = vector.position[:, 2:].clamp(*_LOG_DEPTH_RANGE)
        width = inputs.crop_width[:, None]
        depth = log_depth.exp() * _FILLING_SIZE / width
        translation = torch.cat((vector.position[:, :2] * width * depth, depth), dim=-1)
        return self.pose(rotations, translation, inputs.rest_points)

    def pose(
        self,
        rotations: Float[Tensor, "batch 16 3 3"],
        translation: Float[Tensor, "batch 3"],
        rest_points: Float[Tensor, "batch 21 3"],
    ) -> PosedHand:
        """Posed hand from its rotations and the place of the wrist."""
        points = self.model(rotations, rest_points) + translation[:, None]
        return PosedHand(rotations, points, translation)

    def state_vector(self, posed: PosedHand, inputs: HandInputs, prior: PoseFlow) -> HandVector:
        """State vector of a posed hand: the inverse of `forward`."""
        depth, width = posed.translation[:, 2:], inputs.crop_width[:, None]
        position = posed.translation[:, :2] / depth / width
        return HandVector(
            self.flow.latent_of(posed.rotations[:, 1:], prior),
            matrix_to_sixd(inputs.palm_rotation.mT @ posed.rotations[:, 0]),
            torch.cat((position, (depth * width / _FILLING_SIZE).log()), dim=-1),
        )

    def split(self, flat: Float[Tensor, "batch state"]) -> HandVector:
        """State vector from its flat form."""
        return HandVector(*flat.split([self.latent_size, 6, 3], dim=-1))

    def first_guess(self) -> Float[Tensor, " state"]:
        """Flat state of the typical hand, as its palm's landmarks are turned, filling the crop."""
        zeros = torch.zeros(self.latent_size)
        return torch.cat((zeros, torch.tensor(_NO_TURN), torch.zeros(3)))
