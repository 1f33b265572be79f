"""Differentiable part maps: exact pixel coverage with boundary derivatives (decision 0006).

The share of a pixel that a part covers changes only where the part's border moves, at a rate of the
border's normal speed times its length (Reynolds' transport theorem). So the value comes from the
exact z-buffer, and the derivative from the pairs of neighboring samples that show different parts:
their common border moves with the nearer of the two surfaces, which occludes the other one, and one
part gains what the other loses. This is the boundary term of OpenDR (Loper and Black, "OpenDR: An
Approximate Differentiable Renderer", ECCV 2014) with parts instead of colors; the HUND paper uses
the soft rasterizer of Liu et al. ("Soft Rasterizer", ICCV 2019).

The derivative is unbiased but local: it is zero for parts that do not touch their target. Pool both
maps before comparing them (`avg_pool2d`) to widen its reach.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..body.model import BodyModel
from ..body.skeleton import PART_NAMES
from .exact_parts import part_of_pixel
from .zbuffer import VisibleSurface, visible_surface


class _Borders(NamedTuple):
    """Pairs of neighboring samples of different parts; sample indices run through the batch."""

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
    """Render the share of each pixel that shows each part; channels are PART_NAMES, summing to one.

    First derivatives reach vertices and intrinsics; there are no second ones.

    Args:
        body: model that has posed the vertices, at resolution "low" or "full".
        vertices: of the posed body, camera frame, metres.
        intrinsics: of the image, pixels.
        size: height and width of the image, pixels.
        oversampling: samples along each side of a pixel. One is fastest and gives zeros and ones;
            more give finer shares and more accurate derivatives (choose odd numbers, because even
            ones make ties).
    """
    batch = vertices.shape[:-2]
    vertices = vertices.reshape(-1, *vertices.shape[-2:])
    scale = intrinsics.new_tensor([[oversampling], [oversampling], [1]])
    intrinsics = (scale * intrinsics).reshape(-1, 3, 3)
    samples = (size[0] * oversampling, size[1] * oversampling)
    surface = visible_surface(vertices, body.faces, intrinsics, samples)
    labels = part_of_pixel(body, surface)
    if torch.is_grad_enabled() and (vertices.requires_grad or intrinsics.requires_grad):
        borders = _find_borders(labels)
        positions = _border_positions(vertices, body.faces, intrinsics, surface, borders)
        maps = _Coverage.apply(positions, labels, borders, oversampling)
    else:
        maps = _coverage(labels, oversampling, vertices.dtype)
    return maps.reshape(*batch, *maps.shape[-3:])


def _coverage(
    labels: Int[Tensor, "images rows columns"], oversampling: int, dtype: torch.dtype
) -> Float[Tensor, "images parts height width"]:
    """Return the share of each pixel's samples that show each part."""
    images, rows, columns = labels.shape
    height, width = rows // oversampling, columns // oversampling
    inside = labels.reshape(images, height, oversampling, width, oversampling)
    inside = inside.permute(0, 2, 4, 1, 3).reshape(images, oversampling**2, height * width)
    maps = torch.zeros(images, len(PART_NAMES), height * width, dtype=dtype, device=labels.device)
    share = maps.new_full((), 1 / oversampling**2).expand(inside.shape)
    return maps.scatter_add_(1, inside, share).reshape(images, -1, height, width)


def _find_borders(labels: Int[Tensor, "images rows columns"]) -> _Borders:
    """Return all pairs of neighboring samples that show different parts."""
    number = torch.arange(labels.numel(), device=labels.device).reshape(labels.shape)
    across = labels[:, :, :-1] != labels[:, :, 1:]
    down = labels[:, :-1] != labels[:, 1:]
    left, upper = number[:, :, :-1][across], number[:, :-1][down]
    first = torch.cat((left, upper))
    second = torch.cat((left + 1, upper + labels.shape[2]))
    axis = torch.cat((torch.zeros_like(left), torch.ones_like(upper)))
    return _Borders(first, second, axis)


def _border_positions(
    vertices: Float[Tensor, "images vertices 3"],
    faces: Int[Tensor, "faces 3"],
    intrinsics: Float[Tensor, "images 3 3"],
    surface: VisibleSurface,
    borders: _Borders,
) -> Float[Tensor, " borders"]:
    """Return each border's position along its axis, samples: that of the nearer surface."""
    depth = surface.depth.flatten()
    is_first = depth[borders.first] <= depth[borders.second]
    sample = torch.where(is_first, borders.first, borders.second)
    image = sample // surface.depth[0].numel()
    corners = faces[surface.face.flatten()[sample]] + image[:, None] * vertices.shape[1]
    around = vertices.flatten(0, 1).index_select(0, corners.flatten()).reshape(-1, 3, 3)
    barycentrics = surface.barycentrics.flatten(0, -2)[sample]
    point = (barycentrics[..., None] * around).sum(1)
    row = intrinsics.flatten(0, 1).index_select(0, 3 * image + borders.axis)
    # The border lies half a sample beyond the center at which the surface was sampled; without this
    # step the derivative by the depth would be too small, as if the limbs were thinner.
    focal = row.gather(1, borders.axis[:, None])[:, 0]
    half = (is_first.to(point.dtype) - 0.5) * (point[:, 2] / focal).detach()
    step = torch.nn.functional.one_hot(borders.axis, 3) * half[:, None]
    return (row * (point + step)).sum(-1) / point[:, 2]


class _Coverage(torch.autograd.Function):
    """Coverage as a function of the positions of borders."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        positions: Float[Tensor, " borders"],
        labels: Int[Tensor, "images rows columns"],
        borders: _Borders,
        oversampling: int,
    ) -> Float[Tensor, "images parts height width"]:
        ctx.save_for_backward(labels, *borders)
        ctx.oversampling = oversampling
        return _coverage(labels, oversampling, positions.dtype)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        gradient: Float[Tensor, "images parts height width"],
    ) -> tuple[Float[Tensor, " borders"], None, None, None]:
        """Return the gradient of a loss by the borders' positions, given that by the coverage."""
        labels, first, second, _ = ctx.saved_tensors
        _, parts, height, width = gradient.shape
        columns, label, gradient = labels.shape[2], labels.flatten(), gradient.flatten()
        gain = gradient.new_zeros(len(first))
        for sample in (first, second):  # each gets half of the border between them
            image, within = sample // labels[0].numel(), sample % labels[0].numel()
            row, column = within // columns, within % columns
            pixel = row // ctx.oversampling * width + column // ctx.oversampling
            channels = image * parts
            gain += gradient[(channels + label[first]) * height * width + pixel]
            gain -= gradient[(channels + label[second]) * height * width + pixel]
        return gain / (2 * ctx.oversampling**2), None, None, None
