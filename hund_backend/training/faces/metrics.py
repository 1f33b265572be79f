"""Errors of a posed face against the truth."""

import torch
from jaxtyping import Float
from torch import Tensor

from ...descent.face.state_decoder import PosedFace
from .samples import FaceTruth


def landmark_error(posed: PosedFace, truth: FaceTruth) -> Float[Tensor, " batch"]:
    """Mean distance of the landmarks from their vertices, in distances of the outer eye corners.

    In the picture's plane, the middle of the landmarks aligned.
    """
    seen = posed.landmarks - posed.landmarks.mean(1, keepdim=True)
    offsets = seen - truth.landmarks @ truth.turn.mT
    return offsets[..., :2].norm(dim=-1).mean(-1) / truth.eyes


def turn_error_deg(posed: PosedFace, truth: FaceTruth) -> Float[Tensor, " batch"]:
    """Angle between the turn of the head and the true one, degrees."""
    chord = (posed.turn - truth.turn).norm(dim=(-2, -1)) / 8**0.5
    return torch.rad2deg(2 * torch.arcsin(chord.clamp(max=1)))
