"""HUND of a face: what its network reads, its losses, and its weights.

The network is that of body and hands (`learned/network.py`). The state holds expression, jaw, eyes,
lids, the turn of the head beside its landmarks' alignment, and the person's identity.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import BadInputError
from ...perception.face.evidence import NUM_ARKIT
from ...trained_network import load_network
from ...weights_file import WEIGHTS, sha256_of
from ..learned.network import (
    ContextNetwork,
    LossValues,
    NetworkConfig,
    NeuralDescent,
    config_of,
    smooth_norm,
)
from .inputs import NUM_POINTS, POINTS, FaceInputs
from .model import FACE_FILE, IRISES, NUM_IDENTITY, NUM_TURN_TERMS, FaceModel
from .state_decoder import FaceDecoder, FaceVector, PosedFace

WEIGHTS_FILE = WEIGHTS / "face_hund.safetensors"
TERMS = ("landmarks", "irises", "numbers", "prior", "sparsity", "turn")
_DISPLACEMENT = 0.003  # metres, of the order of an expression
_RESIDUAL = 0.002
_DEPTH_SHARE = 0.5  # weight of depth, which the landmark network guesses


@dataclass(frozen=True, kw_only=True)
class FaceLossConfig:
    """Weights of the losses; at the truth of an ordinary picture each is near or below 1."""

    landmarks: float = 700.0  # per metre
    smoothing: float = 0.001  # metres below which a distance counts as its square
    irises: float = 250.0  # per metre
    numbers: float = 2.0  # mean absolute difference from the blend shape network
    prior: float = 0.1  # mean square of expression and identity
    sparsity: float = 1.0  # mean activation
    turn: float = 20.0  # mean square of the turn from the alignment


@dataclass(frozen=True, kw_only=True)
class FaceHundConfig(NetworkConfig):
    """Sizes of the face's network."""

    stages: int = 4  # M
    hidden: int = 192  # of the context network
    context: int = 96  # of s^c
    memory: int = 160  # of m
    loss: FaceLossConfig = field(default_factory=FaceLossConfig)


class FaceContext(ContextNetwork[FaceInputs]):
    """Context network of a face: displacements from rest, the network's numbers, who it is."""

    def _add_encoders(self, config: FaceHundConfig) -> int:
        return 3 * NUM_POINTS + 2 * NUM_ARKIT + NUM_IDENTITY + NUM_TURN_TERMS + 2

    def _values(self, inputs: FaceInputs) -> Float[Tensor, "batch values"]:
        weight = inputs.numbers_weight[:, None]
        return torch.cat(
            (
                torch.asinh((inputs.landmarks - inputs.neutral) / _DISPLACEMENT).flatten(1),
                weight * inputs.coefficients,
                weight * inputs.rest_coefficients,
                inputs.identity.clamp(-3, 3),
                2 * inputs.turn_terms,
                inputs.known[:, None],
                weight,
            ),
            dim=-1,
        )


class FaceEvidenceLoss(nn.Module):
    """Losses L(s) of a face's state against the evidence, with their residuals."""

    num_residuals = 3 * NUM_POINTS + NUM_ARKIT

    def __init__(self, config: FaceLossConfig, model: FaceModel) -> None:
        super().__init__()
        self.config = config
        irises = [point for eye in IRISES.values() for point in eye]
        self.irises = [POINTS.index(point) for point in irises]
        stiffness = torch.from_numpy(model.stiffness[list(POINTS)].copy()).float()
        key_weights = torch.from_numpy(model.shares[:, 1].copy()).float().clamp(0, 1)
        self.register_buffer("stiffness", stiffness / stiffness.sum(), persistent=False)
        self.register_buffer("key_weights", key_weights, persistent=False)
        axes = torch.tensor([1.0, 1.0, _DEPTH_SHARE])
        self.register_buffer("axes", axes, persistent=False)

    def forward(self, vector: FaceVector, posed: PosedFace, inputs: FaceInputs) -> LossValues:
        """Losses of a batch of states."""
        config = self.config
        offsets = posed.landmarks - inputs.landmarks
        # The alignment has found the head's place by what no key moves.
        offsets = offsets - (self.stiffness[:, None] * offsets).sum(1, keepdim=True)
        distances = smooth_norm(self.axes * offsets, config.smoothing)
        numbers = inputs.numbers_weight[:, None] * (posed.activations - inputs.coefficients)
        coded = torch.cat((vector.expression, vector.identity), dim=-1)
        terms = (
            config.landmarks * distances.mean(-1),
            config.irises * distances[:, self.irises].mean(-1),
            config.numbers * (self.key_weights * numbers.abs()).mean(-1),
            config.prior * coded.square().mean(-1),
            config.sparsity * posed.activations.abs().mean(-1),
            config.turn * (posed.turn - torch.eye(3).to(coded)).square().mean((-1, -2)),
        )
        residuals = (torch.asinh(offsets / _RESIDUAL).flatten(1), 2 * numbers)
        return LossValues(torch.stack(terms, dim=-1), torch.cat(residuals, dim=-1))


class FaceHund(NeuralDescent[FaceInputs, FaceVector, PosedFace]):
    """HUND of a face."""

    def __init__(self, config: FaceHundConfig, model: FaceModel) -> None:
        decoder = FaceDecoder(model)
        evidence_loss = FaceEvidenceLoss(config.loss, model)
        stage_inputs = decoder.state_size + NUM_ARKIT + len(TERMS) + evidence_loss.num_residuals
        stage_inputs += NUM_TURN_TERMS + 2
        context = FaceContext(config, decoder.state_size)
        super().__init__(config, decoder, evidence_loss, context, stage_inputs)

    @classmethod
    def load(cls, model: FaceModel | None = None, path: Path = WEIGHTS_FILE) -> "FaceHund":
        """Read trained weights.

        Args:
            model: of the landmarks that the weights were trained with; None loads it.
            path: of the weights; their description lies beside them as JSON.

        Raises:
            BadInputError: a file is missing or damaged, or was trained with another model.
        """
        model = model or FaceModel.load()
        hund, description = load_network(
            "The face network",
            path,
            lambda config: cls(config_of(FaceHundConfig(), config), model),
        )
        if description["face_model"] != sha256_of(FACE_FILE):
            raise BadInputError(
                f"The face network {path} belongs to another face model; train it again or "
                "restore both."
            )
        return hund

    def description(self) -> dict[str, object]:
        """Content of the JSON file that `load` needs beside the weights."""
        return {
            "kind": "face hund",
            "config": asdict(self.config),
            "face_model": sha256_of(FACE_FILE),
        }

    def _posed(self, vector: FaceVector, inputs: FaceInputs) -> PosedFace:
        return self.decoder(vector, inputs)

    def _first_guess(self, inputs: FaceInputs) -> Float[Tensor, "batch state"]:
        return self.decoder.first_guess(inputs)

    def _shape(self, posed: PosedFace, inputs: FaceInputs) -> Float[Tensor, "batch values"]:
        return posed.activations

    def _known(self, inputs: FaceInputs) -> Float[Tensor, "batch values"]:
        weights = (inputs.known[:, None], inputs.numbers_weight[:, None])
        return torch.cat((2 * inputs.turn_terms, *weights), dim=-1)
