"""HUND's semantic rendering loss: predicted part maps against those rendered from a state.

    L_b = 1 / (H W) Σ_p ‖B(p) − R(p)‖

with the predicted map B, the rendered one R and the pixels p (Zanfir et al., "HUND", 2021;
recalled, not read: that such a loss is used is certain; its norm, its renderer's softness and its
weight are not). HUND renders with the soft rasterizer of Liu et al. (2019); ours is
`rendering/part_renderer.py`, whose derivative is exact but reaches no farther than a border's own
pixels. So the loss is also taken of pooled maps, where a border's surroundings are wider; that is
ours.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

POOLINGS = (1, 2, 4)  # cells a side that are pooled into one
SHARPNESS = 1e-3  # difference below which the norm becomes quadratic
EMPTY = 1e-6


def rendering_loss(
    rendered: Float[Tensor, "*batch parts height width"],
    predicted: Float[Tensor, "*batch parts height width"],
    known: Float[Tensor, "*batch height width"] | None = None,
    poolings: tuple[int, ...] = POOLINGS,
) -> Float[Tensor, "*batch"]:
    """Mean over the pixels of ‖B − R‖₂ / √2, 0…1, averaged over the poolings.

    It scales with the share of the crop, as in the paper: a person that fills little of the crop
    costs little.

    Args:
        rendered: R, shares of the parts in each pixel; they sum to one.
        predicted: B, probabilities of the parts.
        known: weight of each pixel, 0…1: zero beyond the picture, the confidence of the prediction
            elsewhere; one by default.
        poolings: sizes of the squares over which maps are averaged before they are compared.
    """
    batch = rendered.shape[:-3]
    difference = (rendered - predicted).flatten(0, -4) if batch else (rendered - predicted)[None]
    weights = torch.ones_like(difference[:, :1])
    if known is not None:
        weights = known.reshape(weights.shape)
    losses = []
    for size in poolings:
        shares = avg_pool2d(weights, size)
        pooled = avg_pool2d(difference * weights, size) / shares.clamp_min(EMPTY)
        length = (pooled.square().sum(1, keepdim=True) / 2 + SHARPNESS**2).sqrt() - SHARPNESS
        total = shares.sum((1, 2, 3)).clamp_min(EMPTY)
        losses.append((shares * length).sum((1, 2, 3)) / total)
    return torch.stack(losses).mean(0).reshape(batch)


def silhouette_loss(
    rendered: Float[Tensor, "*batch parts height width"],
    person: Float[Tensor, "*batch height width"],
    known: Float[Tensor, "*batch height width"] | None = None,
) -> Float[Tensor, "*batch"]:
    """1 − Σ min / Σ max of the rendered and the predicted person: one minus their soft IoU.

    Unlike `rendering_loss` it does not depend on the share of the crop that the person fills. Ours.

    Args:
        rendered: shares of the parts; the first channel is the background.
        person: probability of the person.
        known: as for `rendering_loss`.
    """
    coverage = 1 - rendered.select(-3, 0)
    weights = torch.ones_like(person) if known is None else known
    common = (weights * torch.minimum(coverage, person)).sum((-2, -1))
    either = (weights * torch.maximum(coverage, person)).sum((-2, -1))
    return 1 - common / either.clamp_min(EMPTY)
