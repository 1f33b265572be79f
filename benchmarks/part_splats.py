"""Soft part maps: labelled samples of the body's surface, splatted as Gaussians.

Smooth in all inputs, with derivatives of every order, unlike the borders of `part_renderer.py`, but
blurred and slower. Each sample is weighted by the projected area of its piece of the surface, so
that a part's map is its coverage convolved with the Gaussian. The map is one product of matrices,
(height × samples) (samples × width), because the Gaussians are separable.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import PART_NAMES
from hund_backend.rendering.zbuffer import visible_surface

CANDIDATES = 16  # random points of the surface per sample
CUTOFF = 5.5  # radius of a splat, in √2 standard deviations: 1e-13 of its peak
MIN_COVERAGE = 1e-6  # smallest coverage that is divided among parts


@dataclass(frozen=True, kw_only=True)
class SplatConfig:
    """Width, opacity and visibility of splats."""

    width: float = 0.4  # standard deviation, in distances between samples
    blur_px: float = 0.4  # additional standard deviation of every splat
    gain: float = 1.2  # opacity of full coverage before it is capped at one: closes small gaps
    tolerance: float = 0.03  # metres: depth by which a sample may lie behind the visible surface
    sharpness: float = 120.0  # of that test, per metre


class PartSplats(nn.Module):
    """Blue-noise samples of a body's surface, and their soft part maps.

    Attributes:
        corners: vertices of each sample's face, (samples, 3); samples are sorted by part.
        barycentrics: of the samples, (samples, 3).
        areas: of the surface nearest to each sample, at rest, m².
        shares: the same, relative to the area of the sample's face.
        counts: number of samples of each part, without the background.
    """

    def __init__(
        self, body: BodyModel, samples: int = 1500, config: SplatConfig | None = None
    ) -> None:
        super().__init__()
        self.config = config or SplatConfig()
        faces, barycentrics, areas = spread_samples(body, samples)
        parts = body.part_of_face[faces]
        order = torch.argsort(parts, stable=True)
        faces = faces[order]
        shares = areas[order] / _areas(body)[faces]
        self.counts = torch.bincount(parts, minlength=len(PART_NAMES))[1:].tolist()
        for name, values in (
            ("corners", body.faces[faces]),
            ("barycentrics", barycentrics[order]),
            ("areas", areas[order]),
            ("shares", shares),
            ("_faces", body.faces),
        ):
            self.register_buffer(name, values.clone(), persistent=False)

    def forward(
        self,
        vertices: Float[Tensor, "batch vertices 3"],
        intrinsics: Float[Tensor, "batch 3 3"],
        size: tuple[int, int],
    ) -> Float[Tensor, "batch parts height width"]:
        """Render soft part maps; the channels are PART_NAMES and sum to one.

        Args:
            vertices: of the posed body, camera frame, metres.
            intrinsics: of the picture, pixels.
            size: height and width of the picture, pixels.
        """
        corners = vertices.index_select(1, self.corners.T.flatten())
        a, b, c = corners.reshape(len(vertices), 3, -1, 3).unbind(1)
        first, second, third = self.barycentrics.to(vertices.dtype).T[..., None]
        points = first * a + second * b + third * c
        homogeneous = points @ intrinsics.transpose(-1, -2)
        depth = homogeneous[..., 2]
        pixels = homogeneous[..., :2] / depth[..., None]
        zoom = torch.linalg.det(intrinsics[:, :2, :2])[:, None]
        # Twice the face's area times the cosine of its slant times the distance; 0 for back faces.
        facing = -(torch.linalg.cross(b - a, c - a) * points).sum(-1).clamp_max(0)
        projected = self.shares * facing / 2 * zoom / depth**3
        projected = projected * self._visibility(vertices, intrinsics, size, pixels, depth)
        spacing = (self.areas * zoom).sqrt() / depth
        spread = ((self.config.width * spacing) ** 2 + self.config.blur_px**2).sqrt()
        coverage = self._coverage(pixels, spread, projected, size)
        total = coverage.sum(1, keepdim=True)
        opacity = (self.config.gain * total).clamp_max(1)
        return torch.cat((1 - opacity, coverage / total.clamp_min(MIN_COVERAGE) * opacity), dim=1)

    @torch.no_grad()
    def _visibility(
        self,
        vertices: Float[Tensor, "batch vertices 3"],
        intrinsics: Float[Tensor, "batch 3 3"],
        size: tuple[int, int],
        pixels: Float[Tensor, "batch samples 2"],
        depth: Float[Tensor, "batch samples"],
    ) -> Float[Tensor, "batch samples"]:
        """Return the visibility of each sample, 0…1: a soft comparison with the depth map.

        Without derivatives: the depth map has none, and those of the sample alone would mislead.
        """
        visible = visible_surface(vertices, self._faces, intrinsics, size).depth
        column = pixels[..., 0].floor().long().clamp(0, size[1] - 1)
        row = pixels[..., 1].floor().long().clamp(0, size[0] - 1)
        behind = depth - visible.flatten(1).gather(1, row * size[1] + column)
        return torch.sigmoid((self.config.tolerance - behind) * self.config.sharpness)

    def _coverage(
        self,
        pixels: Float[Tensor, "batch samples 2"],
        spread: Float[Tensor, "batch samples"],
        projected: Float[Tensor, "batch samples"],
        size: tuple[int, int],
    ) -> Float[Tensor, "batch parts height width"]:
        """Return the share of each pixel that each part covers, convolved with the Gaussians."""
        height, width = size
        reach = (2**0.5 * spread)[..., None]
        centers = torch.arange(max(size), dtype=pixels.dtype, device=pixels.device) + 0.5
        columns = _gaussian((centers[:width] - pixels[..., :1]) / reach)
        rows = _gaussian((centers[:height] - pixels[..., 1:]) / reach)
        rows = rows * (projected / (2 * torch.pi * spread**2))[..., None]
        pairs = zip(rows.split(self.counts, dim=1), columns.split(self.counts, dim=1), strict=True)
        return torch.stack([above.transpose(1, 2) @ across for above, across in pairs], dim=1)


def spread_samples(
    body: BodyModel, count: int
) -> tuple[Int[Tensor, " samples"], Float[Tensor, "samples 3"], Float[Tensor, " samples"]]:
    """Sample the rest surface by farthest points of random candidates, deterministically.

    The samples are blue noise: even, without holes and patterns.

    Args:
        body: "low" or "full".
        count: number of samples.

    Returns:
        Face and barycentrics of each sample, and the area of the surface nearest to it, m².
    """
    generator = torch.Generator().manual_seed(0)
    areas = _areas(body)
    faces = torch.multinomial(areas, CANDIDATES * count, replacement=True, generator=generator)
    root, along = torch.rand(2, CANDIDATES * count, generator=generator)
    root = root.sqrt()
    barycentrics = torch.stack((1 - root, root * (1 - along), root * along), dim=-1)
    points = (barycentrics[..., None] * body.template[body.faces[faces]]).sum(1)
    selected = torch.zeros(count, dtype=torch.long)
    nearest = torch.full((len(points),), torch.inf)
    owner = torch.zeros(len(points), dtype=torch.long)
    for sample in range(count):
        selected[sample] = nearest.argmax() if sample else 0
        square = (points - points[selected[sample]]).square().sum(-1)
        owner[square < nearest] = sample
        nearest = torch.minimum(nearest, square)
    owned = torch.bincount(owner, minlength=count) * areas.sum() / len(points)
    return faces[selected], barycentrics[selected], owned


def _gaussian(distance: Tensor) -> Tensor:
    """Return exp(−x²), cut off: numbers near underflow take three times as long."""
    return torch.exp(-(distance.clamp(-CUTOFF, CUTOFF) ** 2))


def _areas(body: BodyModel) -> Float[Tensor, " faces"]:
    """Return the areas of the faces at rest, m²."""
    a, b, c = body.template[body.faces].unbind(1)
    return torch.linalg.cross(b - a, c - a).norm(dim=-1) / 2
