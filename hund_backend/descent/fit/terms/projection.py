"""Derivative of the pinhole projection."""

import torch
from jaxtyping import Float
from torch import Tensor

_NEAREST = 1e-3  # metres


def projection_jacobian(
    points: Float[Tensor, "frames points 3"], intrinsics: Float[Tensor, "frames 3 3"]
) -> Float[Tensor, "frames points 2 3"]:
    """Derivative of the pixels by the points, px per metre.

    Args:
        points: camera frame, metres.
        intrinsics: px.
    """
    depth = points[..., 2].clamp(min=_NEAREST)
    rays = points[..., :2] / depth[..., None]
    slopes = torch.zeros(*points.shape[:-1], 2, 3, dtype=points.dtype, device=points.device)
    slopes[..., 0, 0] = slopes[..., 1, 1] = 1 / depth
    slopes[..., 2] = -rays / depth[..., None]
    return intrinsics[:, None, :2, :2] @ slopes
