"""Body-part alignment: what is seen of each part explained by the body's, and the reverse.

Zanfir et al. (2020, after Zanfir et al. 2018), as recalled: the paper was not at hand, and weights,
kernel and sampling are ours. With the observed region Q_b of part b, the body's visible surface V_b
and Π into the crop,

    E = Σ_b w_b ( mean_{q ∈ Q_b} ½ ρ(min_{x ∈ V_b} ‖Π(x) − q‖² / σ²)
                + mean_{x ∈ V_b} ½ ρ(min_{q ∈ Q_b} ‖Π(x) − q‖² / σ²) ).

Both regions are sampled as discs (`part_samples.py`), and distances are those from discs: nothing
pulls where regions overlap. What is visible is found by a z-buffer now and then (`look`) and stays until
the next look; which is nearest to which is found anew for every posture, so the energy is continuous
and its derivative that of the distances alone. A part that is not seen asks for nothing (it may be
hidden by something else); one that is seen and that the body does not show costs what is farthest away.

The silhouette is the reverse sum for the whole person, with signed distances s, so that the outline is
drawn from both sides: mean ½ ρ(s(Π(x))² / σ²) over the body's visible rim. It is ours.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hund_backend.descent.fit.parts.observed_parts import SIZE, ObservedParts
from hund_backend.descent.fit.parts.part_samples import part_discs
from hund_backend.descent.fit.parts.surface import Spots, Surface
from hund_backend.descent.losses import geman_mcclure
from hund_backend.rendering.zbuffer import visible_surface

FAR = 10.0  # sides of the crop: the distance from what is not there
RIM = 0.44 / SIZE  # by which the rim lies outside of the last cells that show the body, on average
TINY = 1e-12


class Shown(NamedTuple):
    """What the body shows at a posture; the discs of all parts are one row of spots."""

    spots: Spots
    radii: Float[Tensor, "frames parts discs"]  # fractions of the crop's side
    there: Bool[Tensor, "frames parts discs"]
    rim: Bool[Tensor, "frames spots"]  # beside the background

    def points(
        self, places: Float[Tensor, "frames spots 2"]
    ) -> Float[Tensor, "frames parts discs 2"]:
        """Spots by part."""
        return places.unflatten(1, self.radii.shape[1:])


class Gaps(NamedTuple):
    """Distances of one region's discs from the nearest of the other's, fractions of the side."""

    lengths: Float[Tensor, "frames parts discs"]
    nearest: Int[Tensor, "frames parts discs"]
    weights: Float[Tensor, "frames parts discs"]


class Pulls(NamedTuple):
    """Derivatives of the energies by the spots' places in the crop."""

    slope: Float[Tensor, "frames spots 2"]
    stiffness: Float[Tensor, "frames spots 2 2"]  # without second derivatives of the residuals


class Kernel(NamedTuple):
    """Weight, noise and cut-off of a term."""

    weight: float
    noise: float  # fraction of the crop's side
    cutoff: float  # in units of the noise


def look(
    surface: Surface, vertices: Float[Tensor, "frames vertices 3"], seen: ObservedParts
) -> Shown:
    """What a posed surface shows in the crops of the evidence.

    Args:
        surface: whose vertices they are.
        vertices: in the camera frame.
        seen: the evidence; the body counts where the picture is known.
    """
    cells = torch.tensor([SIZE, SIZE, 1.0])[:, None]
    camera = (cells * seen.camera).float()
    face, _, barycentrics = visible_surface(vertices.float(), surface.faces, camera, (SIZE, SIZE))
    labels = torch.where(face >= 0, surface.part_of_face[face], 0)
    discs = part_discs(torch.where(seen.known, labels, 0).to(torch.uint8).numpy())
    row, cell = torch.arange(len(face))[:, None], discs.cell.flatten(1)
    faces = face.flatten(1)[row, cell].clamp(min=0)
    spots = surface.spots(faces, barycentrics.flatten(1, 2)[row, cell])
    rim = _beside_background(labels > 0) & seen.known
    rim = rim.flatten(1)[row, cell] & discs.on_border.flatten(1)
    return Shown(spots, discs.radius / SIZE, discs.there, rim)


def part_gaps(
    places: Float[Tensor, "frames spots 2"], shown: Shown, seen: ObservedParts
) -> tuple[Gaps, Gaps]:
    """How far the evidence's discs are from the body's visible surface of their part, and the reverse."""
    apart = _distances(shown.points(places), seen.places)
    lengths, nearest = (
        (apart - shown.radii[..., None]).masked_fill(~shown.there[..., None], FAR).min(dim=2)
    )
    total = seen.confidence.sum(-1).clamp(min=TINY)
    weights = (seen.worth / total)[..., None] * seen.confidence
    explained = Gaps(lengths.clamp(min=0), nearest, weights)
    empty = (seen.confidence == 0)[:, :, None]
    lengths, nearest = (apart - seen.radii[:, :, None]).masked_fill(empty, FAR).min(dim=3)
    count = shown.there.sum(-1).clamp(min=1)
    weights = shown.there * (seen.worth / count)[..., None]
    return explained, Gaps(lengths.clamp(min=0), nearest, weights)


def outline(
    places: Float[Tensor, "frames spots 2"], shown: Shown, seen: ObservedParts
) -> tuple[
    Float[Tensor, "frames spots"], Float[Tensor, "frames spots 2"], Float[Tensor, "frames spots"]
]:
    """Signed distance of the rim from the silhouette, its derivative by the places, and weights."""
    lengths, slopes = _interpolated(seen.border, places)
    count = shown.rim.sum(-1, keepdim=True).clamp(min=1)
    return lengths + RIM, slopes, seen.outlined[:, None] * shown.rim / count


def part_energy(
    places: Float[Tensor, "frames spots 2"], shown: Shown, seen: ObservedParts, kernel: Kernel
) -> Float[Tensor, " frames"]:
    """Both directions of the alignment, see the file's head.

    Args:
        places: of the spots in the crop, 0…1.
        shown: what the body showed at the last look.
        seen: the evidence.
        kernel: a weight of one lets each part count as much as one keypoint, or two.
    """
    energy = places.new_zeros(len(places))
    for gaps in part_gaps(places, shown, seen):
        rho, _ = geman_mcclure((gaps.lengths / kernel.noise).square(), kernel.cutoff)
        energy = energy + 0.5 * (gaps.weights * rho).sum((-2, -1))
    return kernel.weight * energy


def silhouette_energy(
    places: Float[Tensor, "frames spots 2"], shown: Shown, seen: ObservedParts, kernel: Kernel
) -> Float[Tensor, " frames"]:
    """How far the body's rim is from the silhouette; arguments are those of `part_energy`."""
    lengths, _, weights = outline(places, shown, seen)
    rho, _ = geman_mcclure((lengths / kernel.noise).square(), kernel.cutoff)
    return 0.5 * kernel.weight * (weights * rho).sum(-1)


def pulls(
    places: Float[Tensor, "frames spots 2"],
    shown: Shown,
    seen: ObservedParts,
    parts: Kernel,
    silhouette: Kernel,
) -> Pulls:
    """Slope and stiffness of both energies by the places of the spots."""
    slope = places.new_zeros(places.shape)
    stiffness = places.new_zeros(*places.shape, 2)
    if parts.weight > 0:
        points = shown.points(places)
        gaps, spilled = part_gaps(places, shown, seen)
        nearest = gaps.nearest[..., None].expand(-1, -1, -1, 2)
        offsets = points.gather(2, nearest) - seen.places
        owner = (gaps.nearest + _first_spots(shown)).flatten(1)
        force, spring = _springs(offsets, gaps, parts)
        slope.scatter_add_(1, owner[..., None].expand(-1, -1, 2), force)
        stiffness.scatter_add_(1, owner[..., None, None].expand(-1, -1, 2, 2), spring)
        nearest = spilled.nearest[..., None].expand(-1, -1, -1, 2)
        force, spring = _springs(points - seen.places.gather(2, nearest), spilled, parts)
        slope, stiffness = slope + force, stiffness + spring
    if silhouette.weight > 0:
        lengths, slopes, weights = outline(places, shown, seen)
        _, robust = geman_mcclure((lengths / silhouette.noise).square(), silhouette.cutoff)
        weights = silhouette.weight / silhouette.noise**2 * weights * robust
        slope = slope + (weights * lengths)[..., None] * slopes
        stiffness = stiffness + weights[..., None, None] * slopes[..., None] * slopes[..., None, :]
    return Pulls(slope, stiffness)


def _springs(
    offsets: Float[Tensor, "frames parts discs 2"], gaps: Gaps, kernel: Kernel
) -> tuple[Float[Tensor, "frames spots 2"], Float[Tensor, "frames spots 2 2"]]:
    """Slope and stiffness of ½ w ρ(l² / σ²) with the length l left of an offset.

    Along the offset the length changes as the place; across it by the share l / ‖offset‖ of that.
    """
    _, robust = geman_mcclure((gaps.lengths / kernel.noise).square(), kernel.cutoff)
    weights = kernel.weight / kernel.noise**2 * gaps.weights * robust
    weights = weights * ((gaps.lengths > 0) & (gaps.lengths < FAR))
    full = (offsets.square().sum(-1) + TINY).sqrt()
    along = offsets / full[..., None]
    force = (weights * gaps.lengths)[..., None] * along
    outer = along[..., None] * along[..., None, :]
    across = torch.eye(2).to(outer) - outer
    share = (gaps.lengths / full)[..., None, None]
    return force.flatten(1, 2), (weights[..., None, None] * (outer + share * across)).flatten(1, 2)


def _distances(
    points: Float[Tensor, "frames parts discs 2"], places: Float[Tensor, "frames parts others 2"]
) -> Float[Tensor, "frames parts discs others"]:
    # The other way, by products of matrices, is too coarse for neighbours.
    return torch.cdist(points, places, compute_mode="donot_use_mm_for_euclid_dist")


def _first_spots(shown: Shown) -> Int[Tensor, "parts 1"]:
    """Where the spots of each part begin in the row of all."""
    _, parts, discs = shown.radii.shape
    return discs * torch.arange(parts)[:, None]


def _beside_background(
    person: Bool[Tensor, "frames rows columns"],
) -> Bool[Tensor, "frames rows columns"]:
    """Cells of the person beside cells that are not; beyond the map nothing is known."""
    beside = torch.zeros_like(person)
    beside[:, 1:] |= ~person[:, :-1]
    beside[:, :-1] |= ~person[:, 1:]
    beside[:, :, 1:] |= ~person[:, :, :-1]
    beside[:, :, :-1] |= ~person[:, :, 1:]
    return beside & person


def _interpolated(
    maps: Float[Tensor, "frames rows columns"], places: Float[Tensor, "frames spots 2"]
) -> tuple[Float[Tensor, "frames spots"], Float[Tensor, "frames spots 2"]]:
    """Values of maps between their cells' middles (bilinear), and the derivatives by the places."""
    last = SIZE - 1
    at = (places * SIZE - 0.5).clamp(0, last)
    corner = at.detach().floor().clamp(max=last - 1).long()
    x, y = (at - corner).unbind(-1)
    flat, index = maps.flatten(1), corner[..., 1] * SIZE + corner[..., 0]
    a, b, c, d = (flat.gather(1, index + shift) for shift in (0, 1, SIZE, SIZE + 1))
    value = (a * (1 - x) + b * x) * (1 - y) + (c * (1 - x) + d * x) * y
    slopes = torch.stack(((b - a) * (1 - y) + (d - c) * y, (c - a) * (1 - x) + (d - b) * x), -1)
    inside = (places * SIZE - 0.5 > 0) & (places * SIZE - 0.5 < last)
    return value, slopes * SIZE * inside
