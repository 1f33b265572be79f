"""Face inputs: what is seen of faces, in the head's axes, beside each person's face at rest."""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...perception.face.networks import BLENDSHAPE_LANDMARKS
from .alignment import align
from .model import FaceModel, turn_terms
from .neutral import Displacements, over_rest, typical_rest

POINTS = BLENDSHAPE_LANDMARKS  # of the 478: lids, irises, brows, lips, and the outline
NUM_POINTS = len(POINTS)
_IDENTITY_NOISE = 0.0015  # metres, of a landmark of a face at rest
_POINTS_PER_FACT = 8.0  # neighboring landmarks err alike


@dataclass(frozen=True, kw_only=True)
class FaceInputs:
    """Evidence of a batch of faces; head's axes as the landmarks' alignment finds them, metres."""

    landmarks: Float[Tensor, "batch points 3"]  # POINTS, without the errors of a head that turns
    neutral: Float[Tensor, "batch points 3"]  # of the person's face at rest; else the mean face
    identity: Float[Tensor, "batch identity"]  # coefficients of the neutral; zero where unknown
    remainder: Float[Tensor, "batch points 3"]  # of the neutral beside mean and identity
    coefficients: Float[Tensor, "batch 52"]  # of the blend shape network, 0 at rest
    rest_coefficients: Float[Tensor, "batch 52"]  # what it reads in the face at rest
    turn_terms: Float[Tensor, "batch 5"]
    known: Float[Tensor, " batch"]  # 1 where the person's face at rest is known, else 0
    numbers_weight: Float[Tensor, " batch"]  # of the blend shape network's coefficients

    @classmethod
    def from_displacements(cls, model: FaceModel, shown: Displacements) -> "FaceInputs":
        """Inputs of the frames of a person whose face at rest is known."""
        points = list(POINTS)
        count = len(shown.landmarks)
        neutral = shown.neutral[points]
        identity = identity_of(model, shown.neutral)
        mean = model.mean + np.einsum("k,kpx->px", identity, model.identity)
        return cls(
            landmarks=_tensor(neutral + shown.landmarks[:, points]),
            neutral=_repeated(neutral, count),
            identity=_repeated(identity, count),
            remainder=_repeated(neutral - mean[points], count),
            coefficients=_tensor(shown.coefficients.clip(-1, 1)),
            rest_coefficients=_repeated(shown.rest_coefficients, count),
            turn_terms=_tensor(turn_terms(shown.turn)),
            known=torch.ones(count),
            numbers_weight=torch.ones(count),
        )

    @classmethod
    def without_neutral(
        cls,
        model: FaceModel,
        landmarks: Float[np.ndarray, "frames 478 3"],
        coefficients: Float[np.ndarray, "frames 52"],
    ) -> "FaceInputs":
        """Inputs of pictures and glimpses; arguments as of `displacements`."""
        aligned = align(landmarks, model.rest, model.stiffness)
        terms = turn_terms(aligned.turn)
        local = aligned.landmarks - np.einsum("ft,tpx->fpx", terms, model.turn_landmarks)
        count, points, at_rest = len(landmarks), list(POINTS), typical_rest(model.names)
        return cls(
            landmarks=_tensor(local[:, points]),
            neutral=_repeated(model.mean[points], count),
            identity=torch.zeros(count, len(model.identity)),
            remainder=torch.zeros(count, NUM_POINTS, 3),
            coefficients=_tensor(over_rest(coefficients, at_rest).clip(-1, 1)),
            rest_coefficients=_repeated(at_rest, count),
            turn_terms=_tensor(terms),
            known=torch.zeros(count),
            numbers_weight=torch.ones(count),
        )

    def __len__(self) -> int:
        return len(self.known)

    def select(self, indices: Int[Tensor, " chosen"] | slice) -> "FaceInputs":
        """Some of the batch."""
        return replace(self, **{f.name: getattr(self, f.name)[indices] for f in fields(self)})


def identity_of(
    model: FaceModel, neutral: Float[np.ndarray, "478 3"]
) -> Float[np.ndarray, " identity"]:
    """Return the identity coefficients of a face at rest, with a standard normal prior."""
    basis = model.identity.reshape(len(model.identity), -1) / _IDENTITY_NOISE
    offset = (neutral - model.mean).ravel() / _IDENTITY_NOISE
    normal = basis @ basis.T / _POINTS_PER_FACT + np.eye(len(basis))
    return np.linalg.solve(normal, basis @ offset / _POINTS_PER_FACT)


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).float()


def _repeated(values: np.ndarray, count: int) -> Tensor:
    return _tensor(values)[None].expand(count, *values.shape)
