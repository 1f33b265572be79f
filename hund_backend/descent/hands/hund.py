"""HUND of a hand: what its network reads, its losses, and its weights.

The network is the body's (`learned/network.py`). The state holds the latent of the fingers, the
wrist's rotation and place; the shape of the hand is the person's and given. One network serves both
hands, right ones in a mirror.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...body.hand import NUM_POINTS, HandModel, bone_lengths
from ...body.rotations import matrix_to_sixd
from ...errors import BadInputError
from ...prior.hand_anatomy import HandAnatomy
from ...prior.hand_collisions import HandCollisions
from ...prior.pose_flow import HAND_WEIGHTS_FILE, PoseFlow
from ...prior.prior_hash import prior_hash
from ...trained_network import load_network
from ...weights_file import WEIGHTS
from ..learned.network import (
    ContextNetwork,
    LossValues,
    NetworkConfig,
    NeuralDescent,
    config_of,
    smooth_norm,
)
from .inputs import HandInputs
from .state_decoder import HandDecoder, HandVector, PosedHand

WEIGHTS_FILE = WEIGHTS / "hand_hund.safetensors"
TERMS = ("keypoints", "landmarks", "prior", "limits")
_NEAREST = 0.05  # metres: smallest depth in projections
_POINT_SCALE = 10.0  # of points in metres, as inputs of the network


@dataclass(frozen=True, kw_only=True)
class HandLossConfig:
    """Weights of the losses; at the truth of an ordinary picture each is near or below 1."""

    keypoints: float = 50.0  # one per cent of the hand's size counts about 1
    keypoint_smoothing: float = 0.004  # crop widths below which a distance counts as its square
    landmarks: float = 40.0  # per metre
    landmark_smoothing: float = 0.002  # metres
    prior: float = 0.3  # mean square of the latent
    limits: float = 20.0  # mean square of the excess over the joints' ranges, radians


@dataclass(frozen=True, kw_only=True)
class HandHundConfig(NetworkConfig):
    """Sizes of the hand's network."""

    stages: int = 4  # M
    hidden: int = 256  # of the context network
    context: int = 128  # of s^c
    memory: int = 320  # of m
    loss: HandLossConfig = field(default_factory=HandLossConfig)


class HandContext(ContextNetwork[HandInputs]):
    """Context network of a hand: keypoints, landmarks seen from the palm, and the hand's size."""

    def _add_encoders(self, config: HandHundConfig) -> int:
        return NUM_POINTS * (2 + 2 + 1 + 3) + (NUM_POINTS - 1) + 6 + 1

    def _values(self, inputs: HandInputs) -> Float[Tensor, "batch values"]:
        keypoints = 3 * inputs.keypoints.clamp(-2, 2)
        landmarks = inputs.landmarks @ inputs.palm_rotation
        return torch.cat(
            (
                keypoints.flatten(1),
                (inputs.confidence[..., None] * keypoints).flatten(1),
                inputs.confidence,
                _POINT_SCALE * landmarks.flatten(1),
                20 * bone_lengths(inputs.rest_points),
                matrix_to_sixd(inputs.palm_rotation),
                inputs.crop_width.log()[:, None],
            ),
            dim=-1,
        )


class HandEvidenceLoss(nn.Module):
    """Losses L(s) of a hand's state against the evidence, with their residuals."""

    num_residuals = NUM_POINTS * 5

    def __init__(self, config: HandLossConfig, anatomy: HandAnatomy) -> None:
        super().__init__()
        self.config, self.anatomy = config, anatomy

    def forward(self, vector: HandVector, posed: PosedHand, inputs: HandInputs) -> LossValues:
        """Losses of a batch of states."""
        config = self.config
        depth = posed.points[..., 2:].clamp(min=_NEAREST)
        projected = posed.points[..., :2] / depth / inputs.crop_width[:, None, None]
        reprojection = projected - inputs.keypoints
        offsets = posed.points - posed.points.mean(1, keepdim=True) - inputs.landmarks
        weights = inputs.confidence
        total = weights.sum(-1) + 1
        terms = (
            config.keypoints
            * (weights * smooth_norm(reprojection, config.keypoint_smoothing)).sum(-1)
            / total,
            config.landmarks
            * (weights * smooth_norm(offsets, config.landmark_smoothing)).sum(-1)
            / total,
            config.prior * vector.latent.square().mean(-1),
            config.limits * self.anatomy.excess(posed.rotations[:, 1:]).square().mean(-1),
        )
        seen_from_palm = offsets @ inputs.palm_rotation
        residuals = (
            torch.asinh(reprojection / 0.02).flatten(1),
            torch.asinh(seen_from_palm / 0.01).flatten(1),
        )
        return LossValues(torch.stack(terms, dim=-1), torch.cat(residuals, dim=-1))


class HandHund(NeuralDescent[HandInputs, HandVector, PosedHand]):
    """HUND of a hand.

    Attributes:
        collisions: depths to which a hand goes into itself.
    """

    def __init__(self, config: HandHundConfig, model: HandModel, prior: PoseFlow) -> None:
        decoder = HandDecoder(model, prior)
        anatomy = HandAnatomy(model.rest)
        evidence_loss = HandEvidenceLoss(config.loss, anatomy)
        state_size = decoder.state_size
        stage_inputs = state_size + 3 * NUM_POINTS + len(TERMS) + evidence_loss.num_residuals
        stage_inputs += NUM_POINTS + 1
        context = HandContext(config, state_size)
        super().__init__(config, decoder, evidence_loss, context, stage_inputs)
        self.collisions = HandCollisions(model)
        self.register_buffer("first_guess", decoder.first_guess(), persistent=False)

    @classmethod
    def load(
        cls,
        model: HandModel | None = None,
        prior: PoseFlow | None = None,
        path: Path = WEIGHTS_FILE,
    ) -> "HandHund":
        """Read trained weights.

        Args:
            model: hand that the weights were trained with; None loads it.
            prior: hand flow that the weights were trained with; None loads it.
            path: of the weights; their description lies beside them as JSON.

        Raises:
            BadInputError: a file is missing or damaged, or was trained with another prior.
        """
        model = model or HandModel.load()
        prior = prior or PoseFlow.load(HAND_WEIGHTS_FILE)
        hund, description = load_network(
            "The hand network",
            path,
            lambda config: cls(config_of(HandHundConfig(), config), model, prior),
        )
        if description["prior"] != prior_hash(prior):
            raise BadInputError(
                f"The hand network {path} belongs to another hand prior; train it again or "
                "restore both."
            )
        return hund

    def description(self, prior: PoseFlow) -> dict[str, object]:
        """Content of the JSON file that `load` needs beside the weights."""
        return {"kind": "hand hund", "config": asdict(self.config), "prior": prior_hash(prior)}

    def _posed(self, vector: HandVector, inputs: HandInputs) -> PosedHand:
        return self.decoder(vector, inputs)

    def _first_guess(self, inputs: HandInputs) -> Float[Tensor, " state"]:
        return self.first_guess

    def _shape(self, posed: PosedHand, inputs: HandInputs) -> Float[Tensor, "batch values"]:
        relative = (posed.points - posed.translation[:, None]) @ inputs.palm_rotation
        return _POINT_SCALE * relative.flatten(1)

    def _known(self, inputs: HandInputs) -> Float[Tensor, "batch values"]:
        return torch.cat((inputs.confidence, inputs.crop_width.log()[:, None]), dim=-1)
