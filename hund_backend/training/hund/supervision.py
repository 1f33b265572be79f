"""Supervision: what a state of the descent costs in training, given what was seen and what is true."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hund_backend.body.model import BodyModel
from hund_backend.descent.learned.hund import Step
from hund_backend.descent.learned.inputs import MAP_SIZE, NetworkInputs
from hund_backend.descent.learned.state_decoder import StateDecoder, StateVector
from hund_backend.rendering.part_renderer import render_parts

from .rendering_loss import rendering_loss
from .samples import NEAREST, Sample


@dataclass(frozen=True, kw_only=True)
class SupervisionConfig:
    """Weights of the terms."""

    evidence: float = 0.35  # L(s), the loss that the stages are told
    joints: float = 4.0  # metres from the pelvis
    points: float = 4.0  # metres, keypoints from the pelvis
    picture: float = 8.0  # spans between projected keypoints and the true ones
    turns: float = 1.5  # mean difference of the rotation matrices' entries
    orient: float = 1.0  # the same, of the pelvis alone
    depth: float = 1.0  # of the depth's logarithm
    betas: float = 0.05
    latent: float = 0.05
    farthest: float = 0.5  # spans: what is farther in the picture counts as that


def evidence_cost(step: Step) -> Float[Tensor, " batch"]:
    """L(s), in the units of the supervised cost: all there is without truth."""
    return 0.1 * step.feedback.loss


def supervised_cost(
    step: Step, sample: Sample, wanted: StateVector, config: SupervisionConfig
) -> Float[Tensor, " batch"]:
    """What a state costs where the truth is known.

    Args:
        step: the state.
        sample: what was seen and what is true.
        wanted: the true state's numbers.
        config: weights.
    """
    posed, true, span = step.posed, sample.truth.posed, sample.seen.span[:, None, None]

    def apart(found: Tensor, right: Tensor) -> Float[Tensor, " batch"]:
        difference = (found - posed.joints[:, :1]) - (right - true.joints[:, :1])
        return (difference.square().sum(-1) + 1e-6).sqrt().mean(-1)

    def pictured(points: Tensor) -> Tensor:
        return points[..., :2] / points[..., 2:].clamp(min=NEAREST) / span

    missed = pictured(posed.points) - pictured(true.points)
    missed = (missed.square().sum(-1) + 1e-6).sqrt().clamp(max=config.farthest)
    turns = (posed.rotations - true.rotations).abs()
    depths = (posed.translation[:, 2].log() - true.translation[:, 2].log()).abs()
    numbers = step.numbers
    return (
        config.evidence * step.feedback.loss
        + config.joints * apart(posed.joints, true.joints)
        + config.points * apart(posed.points, true.points)
        + config.picture * missed.mean(-1)
        + config.turns * turns.mean((1, 2, 3))
        + config.orient * turns[:, 0].mean((1, 2))
        + config.depth * depths
        + config.betas * (numbers.betas - wanted.betas).square().mean(-1)
        + config.latent * (numbers.latent - wanted.latent).square().mean(-1)
    )


def rendered_cost(
    step: Step, seen: NetworkInputs, decoder: StateDecoder, skin: BodyModel
) -> Float[Tensor, " batch"]:
    """HUND's semantic rendering loss of a state; zero where no parts were told.

    Stages are never told it: to render at every stage would cost more than the descent.

    Args:
        step: the state.
        seen: the evidence with its part maps.
        decoder: state decoder of the reduced body.
        skin: the same body's low mesh.
    """
    cost = seen.span.new_zeros(len(seen))
    chosen = seen.has_parts.nonzero()[:, 0]
    if len(chosen) == 0:
        return cost
    posed = type(step.posed)(*(values[chosen] for values in step.posed))
    betas = step.numbers.betas[chosen]
    turn, camera = cameras_of(seen.window[chosen])
    state = decoder.state(posed, betas, turn)
    vertices = state.posed(skin).vertices
    rendered = render_parts(skin, vertices, camera, (MAP_SIZE, MAP_SIZE))
    return cost.index_put((chosen,), rendering_loss(rendered, seen.parts[chosen]))


def cameras_of(
    window: Float[Tensor, "batch 3 3"],
) -> tuple[Float[Tensor, "batch 3 3"], Float[Tensor, "batch 3 3"]]:
    """The rotation and the intrinsics (of a part map) that make up a window together.

    A window leads from the crop's camera to the crop's plane; where the crop lies off the true
    camera's axis it is no camera matrix, but one after a rotation: W ∝ K R.
    """
    turned, upper = torch.linalg.qr(torch.linalg.inv(window.double()))  # W⁻¹ = Rᵀ K⁻¹
    sign = upper.diagonal(dim1=-2, dim2=-1).sign()
    turned, upper = turned * sign[:, None], sign[..., None] * upper
    turned, upper = (values * turned.det().sign()[:, None, None] for values in (turned, upper))
    camera = torch.linalg.inv(upper)
    camera = camera / camera[:, 2:, 2:]
    half = MAP_SIZE / 2
    cells = camera.new_tensor([[half, 0, half], [0, half, half], [0, 0, 1]])
    return turned.mT.to(window), (cells @ camera).to(window)
