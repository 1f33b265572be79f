"""Procrustes alignment: rotation, scale and translation that bring points nearest to others."""

import torch
from jaxtyping import Float
from torch import Tensor


def aligning_rotation(
    source: Float[Tensor, "*#batch points 3"],
    target: Float[Tensor, "*#batch points 3"],
    weights: Float[Tensor, "*#batch points"] | None = None,
    prior: Float[Tensor, "3 3"] | None = None,
) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation R that minimizes Σ wᵢ |R sourceᵢ + t − targetᵢ|² over R and t.

    Kabsch, "A solution for the best rotation to relate two sets of vectors", 1976. Reflections are
    excluded: where one would fit better, R is the best rotation (Umeyama, 1991).

    Args:
        source: points to rotate, wherever their origin is.
        target: points that they correspond to.
        weights: of the points, not negative; None: equal.
        prior: matrix that is added to Σ wᵢ targetᵢ sourceᵢᵀ. Where the points leave R open, R is the
            rotation nearest to it; keep it small beside the points' weights and squared extents.
    """
    weights = torch.ones_like(target[..., 0]) if weights is None else weights
    covariance = (weights[..., None] * _centered(target, weights)).mT @ source
    if prior is not None:
        covariance = covariance + prior
    # By SVD: closed forms do not resolve singular values closer than 1e-7 of their size.
    left, _, right = torch.linalg.svd(covariance)
    sign = torch.ones_like(left[..., 0])
    sign[..., 2] = torch.det(left @ right)
    return (left * sign[..., None, :]) @ right


def similarity_aligned(
    source: Float[Tensor, "*batch points 3"],
    target: Float[Tensor, "*batch points 3"],
    weights: Float[Tensor, "*batch points"] | None = None,
) -> Float[Tensor, "*batch points 3"]:
    """Return source points under the rotation, scale and translation nearest to the target.

    Umeyama, "Least-Squares Estimation of Transformation Parameters Between Two Point Patterns",
    1991, equations 40 to 42. Where all source points coincide every scale is as good, and it is 1.

    Args:
        source: points to align.
        target: points that they correspond to.
        weights: of the points, not negative; None: equal. Where all are zero, the result is finite
            and means nothing.
    """
    weights = torch.ones_like(target[..., 0]) if weights is None else weights
    centered = _centered(source, weights)
    rotated = centered @ aligning_rotation(centered, target, weights).mT
    overlap = (weights[..., None] * _centered(target, weights) * rotated).sum((-1, -2))
    extent = (weights[..., None] * centered.square()).sum((-1, -2))
    scale = torch.where(extent > torch.finfo(extent.dtype).tiny, overlap / extent, 1.0)
    return scale[..., None, None] * rotated + _mean(target, weights)


def _mean(
    points: Float[Tensor, "*#batch points 3"], weights: Float[Tensor, "*#batch points"]
) -> Float[Tensor, "*batch 1 3"]:
    total = weights.sum(-1).clamp(min=torch.finfo(weights.dtype).tiny)
    return (weights[..., None] * points).sum(-2, keepdim=True) / total[..., None, None]


def _centered(
    points: Float[Tensor, "*#batch points 3"], weights: Float[Tensor, "*#batch points"]
) -> Float[Tensor, "*batch points 3"]:
    return points - _mean(points, weights)
