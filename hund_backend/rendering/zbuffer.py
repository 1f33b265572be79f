"""Exact z-buffer: the triangle visible at every pixel's center, for batches of images.

It has no derivatives. Triangles that cross the near plane are handled by rasterization in
homogeneous coordinates (Olano and Greer, "Triangle Scan Conversion using 2D Homogeneous
Coordinates", Graphics Hardware 1997): hit and depth are computed from the triangle itself, not from
its projection, so only the search for candidate pixels depends on the near plane.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

NEAR = 0.05  # metres; depth of the near plane
MARGIN_PX = 1e-3  # added to bounding boxes, so that rounding loses no pixel
MAX_PIXELS = 2**18  # pixels of the images rendered together; bounds the memory


class VisibleSurface(NamedTuple):
    """Visible surface at every pixel's center."""

    face: Int[Tensor, "*batch height width"]  # index of the nearest face, -1 where there is none
    depth: Float[
        Tensor, "*batch height width"
    ]  # z in the camera frame, metres; infinite without a face
    barycentrics: Float[
        Tensor, "*batch height width 3"
    ]  # of the point in its face; zero without a face


class _Candidates(NamedTuple):
    """Triangles with the boxes of pixels that they may cover; one entry per triangle and image."""

    image: Int[Tensor, " candidates"]
    face: Int[Tensor, " candidates"]
    left: Int[Tensor, " candidates"]
    top: Int[Tensor, " candidates"]
    width: Int[Tensor, " candidates"]
    height: Int[Tensor, " candidates"]


class _Hits(NamedTuple):
    """Intersections of pixel rays and triangles; one entry per triangle and pixel."""

    face: Int[Tensor, " hits"]
    pixel: Int[Tensor, " hits"]  # index into all images of the batch, row by row
    depth: Float[Tensor, " hits"]
    barycentrics: Float[Tensor, "hits 3"]


@torch.no_grad()
def visible_surface(
    vertices: Float[Tensor, "*batch vertices 3"],
    faces: Int[Tensor, "faces 3"],
    intrinsics: Float[Tensor, "*batch 3 3"],
    size: tuple[int, int],
) -> VisibleSurface:
    """Find the nearest face along the ray of each pixel's center.

    Back faces are culled: duplicate the faces of open surfaces with the opposite orientation. A
    center exactly on an edge belongs to both its faces, so closed meshes have no cracks; of faces
    at the same depth the first one is visible.

    Args:
        vertices: in the camera frame, metres.
        faces: corners of each face, counter-clockwise seen from outside; shared by all images.
        intrinsics: of the image, pixels; may be skewed.
        size: height and width of the image, pixels.
    """
    batch = vertices.shape[:-2]
    # x·z, y·z and z of the pixels: linear in space, unlike the pixels themselves.
    homogeneous = vertices @ intrinsics.transpose(-1, -2)
    homogeneous = homogeneous.reshape(-1, *vertices.shape[-2:])
    images_at_once = max(1, MAX_PIXELS // (size[0] * size[1]))
    surfaces = [_visible(part, faces, size) for part in homogeneous.split(images_at_once)]
    face, depth, barycentrics = (torch.cat(maps) for maps in zip(*surfaces, strict=True))
    return VisibleSurface(
        face.reshape(*batch, *size),
        depth.reshape(*batch, *size),
        barycentrics.reshape(*batch, *size, 3),
    )


def _visible(
    homogeneous: Float[Tensor, "images vertices 3"],
    faces: Int[Tensor, "faces 3"],
    size: tuple[int, int],
) -> VisibleSurface:
    """Return the visible surface of a few images."""
    shape = (len(homogeneous), *size)
    hits = _hits(homogeneous, faces, _candidates(homogeneous, faces, size), size)
    nearest = hits.depth.new_full((math.prod(shape),), torch.inf)
    nearest.scatter_reduce_(0, hits.pixel, hits.depth, "amin")
    # Hits are sorted by face: the first of several equally near ones wins.
    order = torch.arange(len(hits.face), device=faces.device)
    order = torch.where(hits.depth == nearest[hits.pixel], order, len(order))
    winner = order.new_full((math.prod(shape),), len(order))
    winner.scatter_reduce_(0, hits.pixel, order, "amin")
    is_hit = torch.nonzero(winner < len(order))[:, 0]
    winner = winner[is_hit]
    face = faces.new_full((math.prod(shape),), -1)
    face[is_hit] = hits.face[winner]
    barycentrics = hits.barycentrics.new_zeros(math.prod(shape), 3)
    barycentrics[is_hit] = hits.barycentrics[winner]
    return VisibleSurface(
        face.reshape(shape), nearest.reshape(shape), barycentrics.reshape(*shape, 3)
    )


def _candidates(
    homogeneous: Float[Tensor, "images vertices 3"],
    faces: Int[Tensor, "faces 3"],
    size: tuple[int, int],
) -> _Candidates:
    """Return the front-facing triangles whose boxes contain the center of a pixel."""
    # Images last, so that a corner of a face is looked up for all of them at once.
    x, y, depths = homogeneous.permute(2, 1, 0).contiguous()
    beyond = depths.clamp_min(NEAR)
    (ax, bx, cx), (ay, by, cy) = (
        [plane.index_select(0, faces[:, corner]) for corner in range(3)]
        for plane in (x / beyond, y / beyond)
    )
    box = torch.stack((_min3(ax, bx, cx), _min3(ay, by, cy), _max3(ax, bx, cx), _max3(ay, by, cy)))
    # y points down, so a triangle that looks counter-clockwise has a negative area.
    faces_camera = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) <= 0
    near = depths < NEAR
    if near.any():
        behind = near[faces]
        crossing = behind.any(1) & ~behind.all(1)
        box[:, crossing] = _box_of_crossing(homogeneous, faces, crossing)
        faces_camera = torch.where(behind.any(1), crossing, faces_camera)
    height, width = size
    limits = box.new_tensor([width, height])[:, None, None]
    first = torch.ceil(box[:2] - 0.5 - MARGIN_PX).clamp_min(0)
    count = (torch.floor(box[2:] - 0.5 + MARGIN_PX).minimum(limits - 1) - first + 1).clamp_min(0)
    face, image = torch.nonzero(faces_camera & (count[0] * count[1] > 0), as_tuple=True)
    corner, extent = first[:, face, image].long(), count[:, face, image].long()
    return _Candidates(image, face, *corner, *extent)


def _box_of_crossing(
    homogeneous: Float[Tensor, "images vertices 3"],
    faces: Int[Tensor, "faces 3"],
    crossing: Bool[Tensor, "faces images"],
) -> Float[Tensor, "4 crossings"]:
    """Return left, top, right and bottom of the triangles' parts beyond the near plane."""
    face, image = torch.nonzero(crossing, as_tuple=True)
    corners = homogeneous[image[:, None], faces[face]]
    following = corners.roll(-1, dims=1)
    depth, next_depth = corners[..., 2], following[..., 2]
    cut = (depth < NEAR) != (next_depth < NEAR)
    share = (NEAR - depth) / torch.where(cut, next_depth - depth, torch.ones_like(depth))
    points = torch.cat((corners, corners + share[..., None] * (following - corners)), dim=1)
    kept = torch.cat((depth >= NEAR, cut), dim=1)[..., None]
    pixels = points[..., :2] / points[..., 2:].clamp_min(NEAR / 2)
    low = pixels.masked_fill(~kept, torch.inf).amin(dim=1)
    high = pixels.masked_fill(~kept, -torch.inf).amax(dim=1)
    return torch.cat((low, high), dim=1).T


def _hits(
    homogeneous: Float[Tensor, "images vertices 3"],
    faces: Int[Tensor, "faces 3"],
    candidates: _Candidates,
    size: tuple[int, int],
) -> _Hits:
    """Intersect the rays of pixel centers with the candidates, from their front."""
    counts = candidates.width * candidates.height
    entry = torch.repeat_interleave(counts)
    within = torch.arange(len(entry), device=entry.device) - (counts.cumsum(0) - counts)[entry]
    image, face, left, top, width, _ = (values[entry] for values in candidates)
    x, y = left + within % width, top + within // width
    flat = homogeneous.flatten(0, 1).T.contiguous()
    center_x, center_y = x.to(flat.dtype) + 0.5, y.to(flat.dtype) + 0.5
    offsets, depths = [], []
    for corner in range(3):
        row = image * homogeneous.shape[1] + faces[face, corner]
        depths.append(flat[2][row])
        # Corners relative to the pixel: subtracting first avoids cancellation.
        offsets.append(
            (flat[0][row] - center_x * depths[-1], flat[1][row] - center_y * depths[-1])
        )
    (ax, ay), (bx, by), (cx, cy) = offsets
    # The two faces of an edge get exactly opposite weights.
    weights = torch.stack((cx * by - cy * bx, ax * cy - ay * cx, bx * ay - by * ax))
    total = weights.sum(0)
    barycentrics = weights / total
    depth = sum(weight * corner for weight, corner in zip(barycentrics, depths, strict=True))
    hit = torch.nonzero((weights >= 0).all(0) & (total > 0) & (depth >= NEAR))[:, 0]
    pixel = (image * size[0] + y) * size[1] + x
    return _Hits(face[hit], pixel[hit], depth[hit], barycentrics[:, hit].T)


def _min3(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.minimum(torch.minimum(a, b), c)


def _max3(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.maximum(torch.maximum(a, b), c)
