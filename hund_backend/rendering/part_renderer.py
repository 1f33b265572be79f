"""Differentiable part maps: exact coverage of pixels, with the derivatives that borders give it.

How much of a pixel a part covers changes only where the part's border moves, by the border's speed
across itself times its length (Reynolds' transport theorem). So the value comes from the exact
z-buffer and the derivative from the pairs of neighbouring samples that show different parts: their
common border moves with the nearer of the two surfaces, which hides the other one, and what one
part gains the other loses. Moving borders so is Loper & Black's idea ("OpenDR", ECCV 2014), with
the parts in the place of colours; HUND's own loss uses the soft rasteriser of Liu et al. (2019).
The derivative is unbiased but local: parts that do not meet their target do not feel it. Compare
maps that both have been pooled as well (`avg_pool2d`) to reach farther.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import PART_NAMES
from hund_backend.rendering.exact_parts import part_of_pixel
from hund_backend.rendering.zbuffer import VisibleSurface, visible_surface


class _Borders(NamedTuple):
    """Pairs of neighbouring samples of different parts; samples are numbered through the batch."""

    first: Int[Tensor, " borders"]  # the left or upper sample
    second: Int[Tensor, " borders"]  # the right or lower sample
    axis: Int[Tensor, " borders"]  # 0 where the border is crossed along x, 1 along y


def render_parts(
    body: BodyModel,
    vertices: Float[Tensor, "*batch vertices 3"],
    intrinsics: Float[Tensor, "*batch 3 3"],
    size: tuple[int, int],
    *,
    oversampling: int = 1,
) -> Float[Tensor, "*batch parts height width"]:
    """Share of each pixel that shows each part; the channels are PART_NAMES and sum to one.

    Derivatives reach vertices and intrinsics once (there are no second ones).

    Args:
        body: whose faces the vertices have; "low" or "full".
        vertices: of the posed body, camera frame, metres.
        intrinsics: of the picture, pixels.
        size: height and width of the picture, pixels.
        oversampling: samples along each side of a pixel. One is fastest and gives zeros and ones;
            more give finer shares and truer derivatives (odd numbers: even ones make ties).
    """
    batch = vertices.shape[:-2]
    vertices = vertices.reshape(-1, *vertices.shape[-2:])
    finer = intrinsics.new_tensor([[oversampling], [oversampling], [1]])
    intrinsics = (finer * intrinsics).reshape(-1, 3, 3)
    samples = (size[0] * oversampling, size[1] * oversampling)
    surface = visible_surface(vertices, body.faces, intrinsics, samples)
    labels = part_of_pixel(body, surface)
    if torch.is_grad_enabled() and (vertices.requires_grad or intrinsics.requires_grad):
        borders = _borders(labels)
        places = _places(vertices, body.faces, intrinsics, surface, borders)
        maps = _Coverage.apply(places, labels, borders, oversampling)
    else:
        maps = _coverage(labels, oversampling, vertices.dtype)
    return maps.reshape(*batch, *maps.shape[-3:])


def _coverage(
    labels: Int[Tensor, "pictures rows columns"], oversampling: int, dtype: torch.dtype
) -> Float[Tensor, "pictures parts height width"]:
    """Share of the samples in each pixel that show each part."""
    pictures, rows, columns = labels.shape
    height, width = rows // oversampling, columns // oversampling
    inside = labels.reshape(pictures, height, oversampling, width, oversampling)
    inside = inside.permute(0, 2, 4, 1, 3).reshape(pictures, oversampling**2, height * width)
    maps = torch.zeros(
        pictures, len(PART_NAMES), height * width, dtype=dtype, device=labels.device
    )
    share = maps.new_full((), 1 / oversampling**2).expand(inside.shape)
    return maps.scatter_add_(1, inside, share).reshape(pictures, -1, height, width)


def _borders(labels: Int[Tensor, "pictures rows columns"]) -> _Borders:
    """All pairs of neighbours that show different parts."""
    number = torch.arange(labels.numel(), device=labels.device).reshape(labels.shape)
    across = labels[:, :, :-1] != labels[:, :, 1:]
    down = labels[:, :-1] != labels[:, 1:]
    left, upper = number[:, :, :-1][across], number[:, :-1][down]
    first = torch.cat((left, upper))
    second = torch.cat((left + 1, upper + labels.shape[2]))
    axis = torch.cat((torch.zeros_like(left), torch.ones_like(upper)))
    return _Borders(first, second, axis)


def _places(
    vertices: Float[Tensor, "pictures vertices 3"],
    faces: Int[Tensor, "faces 3"],
    intrinsics: Float[Tensor, "pictures 3 3"],
    surface: VisibleSurface,
    borders: _Borders,
) -> Float[Tensor, " borders"]:
    """Where each border is, along its axis, samples: it moves with the nearer surface."""
    depth = surface.depth.flatten()
    is_first = depth[borders.first] <= depth[borders.second]
    sample = torch.where(is_first, borders.first, borders.second)
    picture = sample // surface.depth[0].numel()
    corners = faces[surface.face.flatten()[sample]] + picture[:, None] * vertices.shape[1]
    around = vertices.flatten(0, 1).index_select(0, corners.flatten()).reshape(-1, 3, 3)
    barycentrics = surface.barycentrics.flatten(0, -2)[sample]
    point = (barycentrics[..., None] * around).sum(1)
    row = intrinsics.flatten(0, 1).index_select(0, 3 * picture + borders.axis)
    # The border is half a sample farther out than the centre where the surface was met; without
    # that step limbs would feel too thin and grow too slowly when they come nearer.
    focal = row.gather(1, borders.axis[:, None])[:, 0]
    half = (is_first.to(point.dtype) - 0.5) * (point[:, 2] / focal).detach()
    step = torch.nn.functional.one_hot(borders.axis, 3) * half[:, None]
    return (row * (point + step)).sum(-1) / point[:, 2]


class _Coverage(torch.autograd.Function):
    """Coverage as a function of the places of borders."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        places: Float[Tensor, " borders"],
        labels: Int[Tensor, "pictures rows columns"],
        borders: _Borders,
        oversampling: int,
    ) -> Float[Tensor, "pictures parts height width"]:
        ctx.save_for_backward(labels, *borders)
        ctx.oversampling = oversampling
        return _coverage(labels, oversampling, places.dtype)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        slopes: Float[Tensor, "pictures parts height width"],
    ) -> tuple[Float[Tensor, " borders"], None, None, None]:
        """Slopes of a loss by coverage, to its slopes by the places of borders."""
        labels, first, second, _ = ctx.saved_tensors
        _, parts, height, width = slopes.shape
        columns, label, slopes = labels.shape[2], labels.flatten(), slopes.flatten()
        gain = slopes.new_zeros(len(first))
        for sample in (first, second):  # the border lies between them: half of it in either
            picture, within = sample // labels[0].numel(), sample % labels[0].numel()
            row, column = within // columns, within % columns
            pixel = row // ctx.oversampling * width + column // ctx.oversampling
            channels = picture * parts
            gain += slopes[(channels + label[first]) * height * width + pixel]
            gain -= slopes[(channels + label[second]) * height * width + pixel]
        return gain / (2 * ctx.oversampling**2), None, None, None
