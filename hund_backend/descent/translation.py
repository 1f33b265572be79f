"""Translation of a posed body from its keypoints."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from .keypoints import NUM_KEYPOINTS
from .reduced_body import FitVariables, ReducedBody
from .targets import Targets

_NEAREST = 0.3  # metres
_OUTLIER = 0.05  # of the crop's side: residual at which a keypoint's weight falls to a quarter
_ITERATIONS = 4  # of reweighting


def solve_translation(
    rotations: Float[Tensor, "frames joints 3 3"],
    targets: Targets,
    reduced_body: ReducedBody,
    betas: Float[Tensor, " betas"],
) -> FitVariables:
    """Variables with the translation that brings the body's keypoints nearest to the targets.

    Iteratively reweighted linear least squares: each keypoint must lie on its ray.

    Args:
        rotations: of the reduced joints.
        targets: detected keypoints.
        reduced_body: the body.
        betas: its shape.
    """
    origin = rotations.new_tensor([0.0, 0.0, 1.0]).expand(len(rotations), 3)
    posed = reduced_body.forward(FitVariables(rotations, origin, betas))
    points = posed.points[:, :NUM_KEYPOINTS] - origin[:, None]
    homogeneous = pad(targets.pixels, (0, 1), value=1.0)
    rays = torch.linalg.solve(targets.intrinsics[:, None], homogeneous[..., None])[..., :2, 0]
    equations = torch.zeros(*rays.shape, 3, dtype=rays.dtype)
    equations[..., 0, 0] = equations[..., 1, 1] = 1
    equations[..., 2] = -rays
    right = (rays * points[..., 2:] - points[..., :2])[..., None]
    side = targets.crop_side / targets.intrinsics[:, 0, 0]  # at a distance of one metre
    # Without any evidence the person stands where a body of two metres fills the crop.
    default = torch.zeros_like(origin)
    default[:, 2] = 2 / side
    weights = targets.confidence
    for _ in range(_ITERATIONS):
        weighted = weights[..., None, None] * equations
        hessian = (weighted.mT @ equations).sum(1) + 1e-6 * torch.eye(3).to(rays)
        translation = torch.linalg.solve(
            hessian, (weighted.mT @ right).sum(1)[..., 0] + 1e-6 * default
        )
        depth = translation[:, 2:].clamp(min=_NEAREST)
        translation = torch.cat((translation[:, :2], depth), dim=-1)
        residuals = (equations @ translation[:, None, :, None] - right)[..., 0].norm(dim=-1)
        residuals = residuals / (depth * side[:, None] * _OUTLIER)
        weights = targets.confidence / (1 + residuals.square()).square()
    return FitVariables(rotations, translation, betas)
