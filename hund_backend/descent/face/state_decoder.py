"""Face state decoder: from the state vector of a face's descent to ARKit's keys and landmarks."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...body.rotations import sixd_to_matrix
from .inputs import POINTS, FaceInputs
from .model import NUM_IDENTITY, FaceModel

NUM_LATENTS = 20
_NO_TURN = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_LEAK = 0.02  # slope of an activation outside 0…1, so that it can come back
# Keys that have states of their own: the key above zero, the one below zero (or none).
JAW = (("jawOpen", None), ("jawForward", None), ("jawLeft", "jawRight"))
EYES = (
    ("eyeLookInLeft", "eyeLookOutLeft"),
    ("eyeLookUpLeft", "eyeLookDownLeft"),
    ("eyeLookInRight", "eyeLookOutRight"),
    ("eyeLookUpRight", "eyeLookDownRight"),
)
LIDS = (("eyeBlinkLeft", "eyeWideLeft"), ("eyeBlinkRight", "eyeWideRight"))
_SIGNED = (*JAW, *EYES, *LIDS)
UNSEEN = "tongueOut"


class FaceVector(NamedTuple):
    """State s of a face in the numbers that the stages change."""

    expression: Float[Tensor, "batch 20"]  # coefficients of mouth, cheeks, nose, brows and squint
    jaw: Float[Tensor, "batch 3"]
    eyes: Float[Tensor, "batch 4"]  # in and up of the left and the right eye
    lids: Float[Tensor, "batch 2"]  # left and right: 1 closed, 0 at rest, -1 wide
    turn: Float[Tensor, "batch 6"]  # 6D rotation of the head from its landmarks' alignment
    identity: Float[Tensor, "batch identity"]

    def flat(self) -> Float[Tensor, "batch state"]:
        """One vector."""
        return torch.cat(tuple(self), dim=-1)


class PosedFace(NamedTuple):
    """Face of a state."""

    activations: Float[Tensor, "batch 52"]  # of the ARKit keys, hardly outside 0…1
    landmarks: Float[Tensor, "batch points 3"]
    """As the landmark network shows them; axes of the alignment, metres."""
    turn: Float[Tensor, "batch 3 3"]  # from the head's axes to those of the alignment

    @property
    def arkit(self) -> Float[Tensor, "batch 52"]:
        """Coefficients 0…1."""
        return self.activations.clamp(0, 1)


class FaceDecoder(nn.Module):
    """Differentiable map from state vectors to faces.

    Attributes:
        state_size: length of the whole state vector.
        mixing: activations of the expression's keys by each of its coefficients.
    """

    def __init__(self, model: FaceModel) -> None:
        super().__init__()
        names = model.names
        own = {name for pair in _SIGNED for name in pair} | {UNSEEN}
        self.expression_keys = [row for row, name in enumerate(names) if name not in own]
        # One more activation, always zero, stands for the keys that do not exist.
        self.positive = [names.index(above) for above, _ in _SIGNED]
        self.negative = [
            len(names) if below is None else names.index(below) for _, below in _SIGNED
        ]
        self.num_keys = len(names)
        self.sizes = [NUM_LATENTS, len(JAW), len(EYES), len(LIDS), 6, NUM_IDENTITY]
        self.state_size = sum(self.sizes)
        self.mixing = nn.Parameter(torch.zeros(NUM_LATENTS, len(self.expression_keys)))
        points = list(POINTS)
        self._register("mean", model.mean[points])
        self._register("identity", model.identity[:, points])
        self._register("keys", model.seen_keys[:, points])
        self._register("stiffness", model.stiffness[points] / model.stiffness[points].sum())

    def _register(self, name: str, values: np.ndarray) -> None:
        # Derived from the face model: not saved with the weights.
        self.register_buffer(name, torch.from_numpy(values.copy()).float(), persistent=False)

    def set_mixing(self, activations: Float[Tensor, "samples 52"]) -> None:
        """Take the principal components of activations as the expression's coefficients.

        Each coefficient moves its strongest key by as much as itself, so that rare keys need no
        large ones.
        """
        values = activations[:, self.expression_keys]
        components = torch.linalg.svd(values, full_matrices=False)[2][:NUM_LATENTS]
        with torch.no_grad():
            self.mixing.copy_(components / components.abs().amax(dim=1, keepdim=True))

    def forward(self, vector: FaceVector, inputs: FaceInputs) -> PosedFace:
        """Face of a state."""
        activations = self.activations(vector)
        turn = sixd_to_matrix(vector.turn)
        shape = self.mean + torch.einsum("bk,kpx->bpx", vector.identity, self.identity)
        shape = shape + inputs.remainder
        shape = shape + torch.einsum("bk,kpx->bpx", activations, self.keys)
        center = (self.stiffness[:, None] * shape).sum(1, keepdim=True)
        landmarks = (shape - center) @ turn.mT + center
        return PosedFace(activations, landmarks, turn)

    def activations(self, vector: FaceVector) -> Float[Tensor, "batch 52"]:
        """Activations of all keys."""
        signed = torch.cat((vector.jaw, vector.eyes, vector.lids), dim=-1)
        result = signed.new_zeros(len(signed), self.num_keys + 1)
        result[:, self.positive] = _bounded(signed)
        result[:, self.negative] = _bounded(-signed)
        result[:, self.expression_keys] = _bounded(vector.expression @ self.mixing)
        return result[:, : self.num_keys]

    def split(self, flat: Float[Tensor, "batch state"]) -> FaceVector:
        """State vector from its flat form."""
        return FaceVector(*flat.split(self.sizes, dim=-1))

    def first_guess(self, inputs: FaceInputs) -> Float[Tensor, "batch state"]:
        """Flat states of the people's faces at rest, turned as their landmarks are."""
        zeros = inputs.identity.new_zeros(len(inputs), sum(self.sizes[:4]))
        no_turn = inputs.identity.new_tensor(_NO_TURN).expand(len(inputs), 6)
        return torch.cat((zeros, no_turn, inputs.identity), dim=-1)


def _bounded(values: Tensor) -> Tensor:
    inside = values.clamp(0, 1)
    return inside + _LEAK * (values - inside)
