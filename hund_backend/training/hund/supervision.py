"""Supervision: losses of a state of the descent in training, with and without ground truth."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...body.model import BodyModel
from ...descent.learned.inputs import MAP_SIZE, NetworkInputs
from ...descent.learned.network import Step
from ...descent.learned.state_decoder import StateDecoder, StateVector
from ...rendering.part_renderer import render_parts
from .rendering_loss import rendering_loss
from .samples import MIN_DEPTH, Sample


@dataclass(frozen=True, kw_only=True)
class SupervisionConfig:
    """Weights of the terms."""

    evidence: float = 0.35  # L(s), the loss that is an input of the stages
    joints: float = 4.0  # distance of the joints, pelvis-aligned, metres
    points: float = 4.0  # distance of the keypoints, pelvis-aligned, metres
    projection: float = 8.0  # distance of the projected keypoints, crop widths
    rotations: float = 1.5  # mean absolute difference of the rotation matrices' entries
    orient: float = 1.0  # the same for the pelvis alone
    depth: float = 1.0  # absolute difference of the depth's logarithm
    betas: float = 0.05
    latent: float = 0.05
    max_distance: float = 0.5  # crop widths at which projected distances are clamped


def supervised_cost(
    step: Step, sample: Sample, target: StateVector, config: SupervisionConfig
) -> Float[Tensor, " batch"]:
    """Cost of a state whose truth is known.

    Args:
        step: the state.
        sample: inputs and truth.
        target: state vector of the truth.
        config: weights.
    """
    posed, true = step.posed, sample.truth.posed
    crop_width = sample.inputs.crop_width[:, None, None]

    def distance(points: Tensor, true_points: Tensor) -> Float[Tensor, " batch"]:
        difference = (points - posed.joints[:, :1]) - (true_points - true.joints[:, :1])
        return (difference.square().sum(-1) + 1e-6).sqrt().mean(-1)

    def project(points: Tensor) -> Tensor:
        return points[..., :2] / points[..., 2:].clamp(min=MIN_DEPTH) / crop_width

    residual = project(posed.points) - project(true.points)
    residual = (residual.square().sum(-1) + 1e-6).sqrt().clamp(max=config.max_distance)
    rotations = (posed.rotations - true.rotations).abs()
    depth = (posed.translation[:, 2].log() - true.translation[:, 2].log()).abs()
    vector = step.vector
    return (
        config.evidence * step.losses.total
        + config.joints * distance(posed.joints, true.joints)
        + config.points * distance(posed.points, true.points)
        + config.projection * residual.mean(-1)
        + config.rotations * rotations.mean((1, 2, 3))
        + config.orient * rotations[:, 0].mean((1, 2))
        + config.depth * depth
        + config.betas * (vector.betas - target.betas).square().mean(-1)
        + config.latent * (vector.latent - target.latent).square().mean(-1)
    )


def rendered_cost(
    step: Step, inputs: NetworkInputs, decoder: StateDecoder, skin: BodyModel
) -> Float[Tensor, " batch"]:
    """HUND's semantic rendering loss of a state; zero for inputs without part maps.

    It is no input of the stages: rendering at every stage would cost more than the descent.

    Args:
        step: the state.
        inputs: the inputs with their part maps.
        decoder: state decoder of the reduced body.
        skin: the same body's low mesh.
    """
    cost = inputs.crop_width.new_zeros(len(inputs))
    indices = inputs.has_parts.nonzero()[:, 0]
    if len(indices) == 0:
        return cost
    posed = type(step.posed)(*(values[indices] for values in step.posed))
    betas = step.vector.betas[indices]
    rotation, intrinsics = split_crop_projection(inputs.crop_from_rays[indices])
    state = decoder.state(posed, betas, rotation)
    vertices = state.posed(skin).vertices
    rendered = render_parts(skin, vertices, intrinsics, (MAP_SIZE, MAP_SIZE))
    return cost.index_put((indices,), rendering_loss(rendered, inputs.parts[indices]))


def split_crop_projection(
    crop_from_rays: Float[Tensor, "batch 3 3"],
) -> tuple[Float[Tensor, "batch 3 3"], Float[Tensor, "batch 3 3"]]:
    """Rotation and intrinsics (of a part map) whose product is a crop's projection.

    For a crop off the true camera's axis the projection W is no camera matrix, but one after a
    rotation: W ∝ K R.
    """
    rotation, upper = torch.linalg.qr(torch.linalg.inv(crop_from_rays.double()))  # W⁻¹ = Rᵀ K⁻¹
    sign = upper.diagonal(dim1=-2, dim2=-1).sign()
    rotation, upper = rotation * sign[:, None], sign[..., None] * upper
    proper = rotation.det().sign()[:, None, None]
    rotation, upper = rotation * proper, upper * proper
    intrinsics = torch.linalg.inv(upper)
    intrinsics = intrinsics / intrinsics[:, 2:, 2:]
    half = MAP_SIZE / 2
    cells = intrinsics.new_tensor([[half, 0, half], [0, half, half], [0, 0, 1]])
    return rotation.mT.to(crop_from_rays), (cells @ intrinsics).to(crop_from_rays)
