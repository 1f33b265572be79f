"""Resizing: a person made larger and farther away, or smaller and nearer, in the same picture."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..body.model import BodyModel
from ..body.skeleton import JOINT_INDEX
from .result import DescentResult

_LEG = ("ThighL", "CalfL", "AnkleL")
_TRUNK = ("Pelvis", "Spine01", "Spine02", "Spine03", "Neck01", "Head01")


def resized(result: DescentResult, body: BodyModel, ratio: float) -> DescentResult:
    """Return a result whose person, and distance from the camera, are `ratio` times as large.

    Of all body shapes of that size the likeliest change is taken: the smallest one of the betas.
    """
    state = result.state
    betas = state.betas.reshape(-1, state.betas.shape[-1])[0]
    with torch.enable_grad():
        free = betas.detach().cpu().double().requires_grad_(True)
        size = _size(body, free)
        (gradient,) = torch.autograd.grad(size, free)
    change = (ratio - 1) * size.detach() * gradient / gradient.square().sum()
    return replace(
        result,
        state=replace(
            state,
            betas=state.betas + change.to(state.betas),
            root_translation=ratio * state.root_translation,
        ),
    )


def _size(body: BodyModel, betas: Float[Tensor, "16"]) -> Float[Tensor, ""]:
    """Length of a leg and of the trunk, metres."""
    basis = body.joint_basis.cpu().double()
    joints = body.rest_template.cpu().double() + torch.einsum("b,bjx->jx", betas, basis)
    places = [joints[[JOINT_INDEX[name] for name in chain]] for chain in (_LEG, _TRUNK)]
    return torch.stack([chain.diff(dim=0).norm(dim=-1).sum() for chain in places]).sum()
