"""Alignment term: body parts and silhouette of the evidence against the body's visible surface.

After Zanfir et al. (2020; 2018), recalled, not read: weights, kernel and sampling are ours. With the
observed region Q_b of part b, the body's visible surface V_b and the projection Π into the crop,

    E = Σ_b w_b ( mean_{q ∈ Q_b} ½ ρ(min_{x ∈ V_b} ‖Π(x) − q‖² / σ²)
                + mean_{x ∈ V_b} ½ ρ(min_{q ∈ Q_b} ‖Π(x) − q‖² / σ²) ).

Both regions are sampled as discs (`disc_samples.py`), and distances are those from discs: where
regions overlap the energy is zero. Visibility comes from a z-buffer and is kept between refreshes;
nearest neighbors are recomputed for all variables, so the energy is continuous and its derivative is
that of the distances alone. A part that was not detected has no weight (something may hide it); one
that was detected and that the body does not show costs the largest distance.

The silhouette term is ours: the second sum for the whole person with signed distances s, so that the
outline is matched from both sides, mean ½ ρ(s(Π(x))² / σ²) over the body's visible outline.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ....body.camera import project
from ....rendering.zbuffer import visible_surface
from ...reduced_body import PosedReducedBody
from ..linearization import EvaluationPoint, LinearizationPoint
from ..solver import NormalEquations
from ..terms.kernels import Robust, geman_mcclure
from ..terms.projection import projection_jacobian
from .disc_samples import part_discs
from .observed_parts import SIZE, ObservedParts
from .surface import Surface, SurfacePoints

FAR = 10.0  # sides of the crop: distance from a part that is absent
OUTLINE_OFFSET = 0.44 / SIZE  # mean distance of the outline from its outermost cells' centers
TINY = 1e-12


class VisibleSurface(NamedTuple):
    """Disc samples of the body's visible surface; the discs of all parts are one row of points."""

    points: SurfacePoints
    radii: Float[Tensor, "frames parts discs"]  # fractions of the crop's side
    valid: Bool[Tensor, "frames parts discs"]  # False in padding
    on_outline: Bool[Tensor, "frames points"]  # next to the background

    def by_part(
        self, positions: Float[Tensor, "frames points 2"]
    ) -> Float[Tensor, "frames parts discs 2"]:
        """Positions of the points, grouped by part."""
        return positions.unflatten(1, self.radii.shape[1:])


class DiscDistances(NamedTuple):
    """Distances of one region's discs from the nearest of the other's, fractions of the side."""

    lengths: Float[Tensor, "frames parts discs"]
    nearest: Int[Tensor, "frames parts discs"]
    weights: Float[Tensor, "frames parts discs"]


class PositionDerivatives(NamedTuple):
    """Derivatives of the energies by the points' positions in the crop."""

    gradient: Float[Tensor, "frames points 2"]
    hessian: Float[Tensor, "frames points 2 2"]  # without second derivatives of the residuals


@dataclass(frozen=True, kw_only=True)
class AlignmentTerm:
    """Alignment of parts and of the silhouette, see the module's docstring."""

    names: ClassVar = ("parts", "silhouette")
    rigid_invariant: ClassVar = False
    parts: Robust  # noise: fraction of the crop's side
    silhouette: Robust
    observed: ObservedParts
    surface: Surface
    visible: VisibleSurface | None = None  # None until the first `refresh_visibility`

    def refresh_visibility(
        self, posed: PosedReducedBody, betas: Float[Tensor, " betas"]
    ) -> "AlignmentTerm":
        """Term for the surface that is visible on a posed body."""
        vertices = self.surface.vertices_of(posed, betas)
        return replace(self, visible=sample_visible(self.surface, vertices, self.observed))

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energies of parts and silhouette in each frame."""
        if self.visible is None:
            nothing = at.posed.joints.new_zeros(len(at.posed.joints))
            return nothing, nothing
        points = self.surface.positions(self.visible.points, at.posed, at.variables.betas)
        positions = project(points, self.observed.camera)
        return (
            part_energy(positions, self.visible, self.observed, self.parts),
            silhouette_energy(positions, self.visible, self.observed, self.silhouette),
        )

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add gradient and Gauss–Newton Hessian."""
        if self.visible is None:
            return
        surface, observed, points = self.surface, self.observed, self.visible.points
        positions = surface.positions(points, at.posed, at.variables.betas)
        gradient, hessian = position_derivatives(
            project(positions, observed.camera),
            self.visible,
            observed,
            self.parts,
            self.silhouette,
        )
        # Points of overlapping regions have no derivative: only the others are differentiated.
        strength = hessian.diagonal(dim1=-2, dim2=-1).sum(-1)
        strength, chosen = strength.topk(int((strength > 0).sum(1).max()), dim=1)
        frame = torch.arange(len(positions))[:, None]
        points, positions = points.select(chosen), positions[frame, chosen]
        gradient, hessian = gradient[frame, chosen], hessian[frame, chosen]
        # ½ ‖Lᵀ dx + L⁻¹ g‖² has the gradient g and the Hessian L Lᵀ.
        damping = 1e-6 * strength + 1e-9
        factor = torch.linalg.cholesky(
            hessian + torch.diag_embed(damping[..., None].expand_as(gradient))
        )
        residuals = torch.linalg.solve_triangular(factor, gradient[..., None], upper=False)
        directions = factor.mT @ projection_jacobian(positions, observed.camera)
        body, posed, betas_jacobian = at.reduced_body, at.posed, None
        if at.solves_betas:
            betas_jacobian = surface.betas_jacobian_along(points, body, posed, directions)
        equations.add(
            residuals[..., 0],
            surface.jacobian_along(points, body, posed, at.variables.betas, directions),
            torch.ones_like(strength),
            betas_jacobian,
        )


def sample_visible(
    surface: Surface, vertices: Float[Tensor, "frames vertices 3"], observed: ObservedParts
) -> VisibleSurface:
    """Sample the visible surface in the crops of the evidence.

    Args:
        surface: mesh of the vertices.
        vertices: camera frame, metres.
        observed: evidence; cells beyond the full frame do not count.
    """
    cells = torch.tensor([SIZE, SIZE, 1.0])[:, None]
    camera = (cells * observed.camera).float()
    face, _, barycentrics = visible_surface(vertices.float(), surface.faces, camera, (SIZE, SIZE))
    labels = torch.where(face >= 0, surface.part_of_face[face], 0)
    discs = part_discs(torch.where(observed.in_image, labels, 0).to(torch.uint8).numpy())
    row, cell = torch.arange(len(face))[:, None], discs.cell.flatten(1)
    faces = face.flatten(1)[row, cell].clamp(min=0)
    points = surface.points_in_faces(faces, barycentrics.flatten(1, 2)[row, cell])
    on_outline = _next_to_background(labels > 0) & observed.in_image
    on_outline = on_outline.flatten(1)[row, cell] & discs.on_border.flatten(1)
    return VisibleSurface(points, discs.radius / SIZE, discs.valid, on_outline)


def part_distances(
    positions: Float[Tensor, "frames points 2"], visible: VisibleSurface, observed: ObservedParts
) -> tuple[DiscDistances, DiscDistances]:
    """Distances of observed discs from the visible surface of their part, and the reverse."""
    distances = _distances(visible.by_part(positions), observed.centers)
    lengths, nearest = (
        (distances - visible.radii[..., None])
        .masked_fill(~visible.valid[..., None], FAR)
        .min(dim=2)
    )
    total = observed.confidence.sum(-1).clamp(min=TINY)
    weights = (observed.part_weight / total)[..., None] * observed.confidence
    from_observed = DiscDistances(lengths.clamp(min=0), nearest, weights)
    empty = (observed.confidence == 0)[:, :, None]
    lengths, nearest = (distances - observed.radii[:, :, None]).masked_fill(empty, FAR).min(dim=3)
    count = visible.valid.sum(-1).clamp(min=1)
    weights = visible.valid * (observed.part_weight / count)[..., None]
    return from_observed, DiscDistances(lengths.clamp(min=0), nearest, weights)


def outline_distances(
    positions: Float[Tensor, "frames points 2"], visible: VisibleSurface, observed: ObservedParts
) -> tuple[
    Float[Tensor, "frames points"],
    Float[Tensor, "frames points 2"],
    Float[Tensor, "frames points"],
]:
    """Signed distances of the outline from the silhouette, their derivatives, and weights."""
    lengths, slopes = _interpolate(observed.silhouette_distance, positions)
    count = visible.on_outline.sum(-1, keepdim=True).clamp(min=1)
    weights = observed.has_silhouette[:, None] * visible.on_outline / count
    return lengths + OUTLINE_OFFSET, slopes, weights


def part_energy(
    positions: Float[Tensor, "frames points 2"],
    visible: VisibleSurface,
    observed: ObservedParts,
    config: Robust,
) -> Float[Tensor, " frames"]:
    """Both sums of the part alignment.

    Args:
        positions: of the visible points in the crop, 0…1.
        visible: samples of the body's surface.
        observed: evidence.
        config: weight, noise and cut-off.
    """
    energy = positions.new_zeros(len(positions))
    for distances in part_distances(positions, visible, observed):
        rho, _ = geman_mcclure((distances.lengths / config.noise).square(), config.cutoff)
        energy = energy + 0.5 * (distances.weights * rho).sum((-2, -1))
    return config.weight * energy


def silhouette_energy(
    positions: Float[Tensor, "frames points 2"],
    visible: VisibleSurface,
    observed: ObservedParts,
    config: Robust,
) -> Float[Tensor, " frames"]:
    """Energy of the outline's distances; arguments as of `part_energy`."""
    lengths, _, weights = outline_distances(positions, visible, observed)
    rho, _ = geman_mcclure((lengths / config.noise).square(), config.cutoff)
    return 0.5 * config.weight * (weights * rho).sum(-1)


def position_derivatives(
    positions: Float[Tensor, "frames points 2"],
    visible: VisibleSurface,
    observed: ObservedParts,
    parts: Robust,
    silhouette: Robust,
) -> PositionDerivatives:
    """Gradient and Hessian of both energies by the positions of the points."""
    gradient = positions.new_zeros(positions.shape)
    hessian = positions.new_zeros(*positions.shape, 2)
    if parts.weight > 0:
        points = visible.by_part(positions)
        from_observed, from_visible = part_distances(positions, visible, observed)
        nearest = from_observed.nearest[..., None].expand(-1, -1, -1, 2)
        offsets = points.gather(2, nearest) - observed.centers
        owner = (from_observed.nearest + _first_points(visible)).flatten(1)
        of_disc = _disc_derivatives(offsets, from_observed, parts)
        gradient.scatter_add_(1, owner[..., None].expand(-1, -1, 2), of_disc.gradient)
        hessian.scatter_add_(1, owner[..., None, None].expand(-1, -1, 2, 2), of_disc.hessian)
        nearest = from_visible.nearest[..., None].expand(-1, -1, -1, 2)
        offsets = points - observed.centers.gather(2, nearest)
        of_disc = _disc_derivatives(offsets, from_visible, parts)
        gradient, hessian = gradient + of_disc.gradient, hessian + of_disc.hessian
    if silhouette.weight > 0:
        lengths, slopes, weights = outline_distances(positions, visible, observed)
        _, robust = geman_mcclure((lengths / silhouette.noise).square(), silhouette.cutoff)
        weights = silhouette.weight / silhouette.noise**2 * weights * robust
        gradient = gradient + (weights * lengths)[..., None] * slopes
        hessian = hessian + weights[..., None, None] * slopes[..., None] * slopes[..., None, :]
    return PositionDerivatives(gradient, hessian)


def _disc_derivatives(
    offsets: Float[Tensor, "frames parts discs 2"], distances: DiscDistances, config: Robust
) -> PositionDerivatives:
    """Derivatives of ½ w ρ(l² / σ²) by the offset that leaves the distance l between two discs.

    Along the offset the distance changes as the position; across it by the ratio l / ‖offset‖.
    """
    _, robust = geman_mcclure((distances.lengths / config.noise).square(), config.cutoff)
    weights = config.weight / config.noise**2 * distances.weights * robust
    weights = weights * ((distances.lengths > 0) & (distances.lengths < FAR))
    norm = (offsets.square().sum(-1) + TINY).sqrt()
    along = offsets / norm[..., None]
    gradient = (weights * distances.lengths)[..., None] * along
    outer = along[..., None] * along[..., None, :]
    across = torch.eye(2).to(outer) - outer
    ratio = (distances.lengths / norm)[..., None, None]
    hessian = weights[..., None, None] * (outer + ratio * across)
    return PositionDerivatives(gradient.flatten(1, 2), hessian.flatten(1, 2))


def _distances(
    points: Float[Tensor, "frames parts discs 2"], centers: Float[Tensor, "frames parts others 2"]
) -> Float[Tensor, "frames parts discs others"]:
    # The faster mode by matrix products is too imprecise for close neighbors.
    return torch.cdist(points, centers, compute_mode="donot_use_mm_for_euclid_dist")


def _first_points(visible: VisibleSurface) -> Int[Tensor, "parts 1"]:
    """Index of each part's first point in the row of all points."""
    _, parts, discs = visible.radii.shape
    return discs * torch.arange(parts)[:, None]


def _next_to_background(
    person: Bool[Tensor, "frames rows columns"],
) -> Bool[Tensor, "frames rows columns"]:
    """Cells of the person with a neighbor that is background; cells beyond the map are unknown."""
    neighbor = torch.zeros_like(person)
    neighbor[:, 1:] |= ~person[:, :-1]
    neighbor[:, :-1] |= ~person[:, 1:]
    neighbor[:, :, 1:] |= ~person[:, :, :-1]
    neighbor[:, :, :-1] |= ~person[:, :, 1:]
    return neighbor & person


def _interpolate(
    maps: Float[Tensor, "frames rows columns"], positions: Float[Tensor, "frames points 2"]
) -> tuple[Float[Tensor, "frames points"], Float[Tensor, "frames points 2"]]:
    """Bilinear interpolation between cell centers, and its derivatives by the positions."""
    last = SIZE - 1
    cells = (positions * SIZE - 0.5).clamp(0, last)
    corner = cells.detach().floor().clamp(max=last - 1).long()
    x, y = (cells - corner).unbind(-1)
    flat, index = maps.flatten(1), corner[..., 1] * SIZE + corner[..., 0]
    a, b, c, d = (flat.gather(1, index + shift) for shift in (0, 1, SIZE, SIZE + 1))
    value = (a * (1 - x) + b * x) * (1 - y) + (c * (1 - x) + d * x) * y
    slopes = torch.stack(((b - a) * (1 - y) + (d - c) * y, (c - a) * (1 - x) + (d - b) * x), -1)
    inside = (positions * SIZE - 0.5 > 0) & (positions * SIZE - 0.5 < last)
    return value, slopes * SIZE * inside
