"""An exact z-buffer: which triangle a camera sees at every pixel's centre, for batches of pictures.

It has no derivatives. Triangles that cross the plane before the camera are handled by rasterising
in homogeneous coordinates (Olano & Greer, "Triangle Scan Conversion using 2D Homogeneous
Coordinates", 1997): whether a ray hits and how deep is asked of the triangle itself, not of its
projection, so only the search for candidate pixels has to know the near plane.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

NEAR = 0.05  # metres; nothing nearer than this is seen
MARGIN_PX = 1e-3  # by which bounding boxes grow, so that rounding loses no pixel
PIXELS_AT_ONCE = 2**18  # pixels of the pictures worked on together; bounds the memory


class VisibleSurface(NamedTuple):
    """What is seen at every pixel's centre."""

    face: Int[Tensor, "*batch height width"]  # index of the nearest face, -1 where there is none
    depth: Float[Tensor, "*batch height width"]  # z in the camera frame, metres; infinite there
    barycentrics: Float[Tensor, "*batch height width 3"]  # of the point in its face; zero there


class _Candidates(NamedTuple):
    """Triangles with the boxes of pixels that they may cover; one entry a triangle."""

    picture: Int[Tensor, " candidates"]
    face: Int[Tensor, " candidates"]
    left: Int[Tensor, " candidates"]
    top: Int[Tensor, " candidates"]
    width: Int[Tensor, " candidates"]
    height: Int[Tensor, " candidates"]


class _Hits(NamedTuple):
    """Triangles met by the rays of pixels; one entry a triangle and pixel."""

    face: Int[Tensor, " hits"]
    pixel: Int[Tensor, " hits"]  # in all pictures of the batch, row by row
    depth: Float[Tensor, " hits"]
    barycentrics: Float[Tensor, "hits 3"]


@torch.no_grad()
def visible_surface(
    vertices: Float[Tensor, "*batch vertices 3"],
    faces: Int[Tensor, "faces 3"],
    intrinsics: Float[Tensor, "*batch 3 3"],
    size: tuple[int, int],
) -> VisibleSurface:
    """The face that is nearest along the ray of each pixel's centre.

    Faces that turn their back to the camera are not seen: give open surfaces both ways round. A
    centre that lies exactly on an edge belongs to both its faces, so closed meshes have no cracks;
    of faces at the same depth the first one is seen.

    Args:
        vertices: in the camera frame, metres.
        faces: corners of each face, counter-clockwise seen from outside; shared by all pictures.
        intrinsics: of the picture, pixels; may be skewed.
        size: height and width of the picture, pixels.
    """
    batch = vertices.shape[:-2]
    # x·z, y·z and z of the pixels: linear in space, unlike the pixels themselves.
    homogeneous = vertices @ intrinsics.transpose(-1, -2)
    homogeneous = homogeneous.reshape(-1, *vertices.shape[-2:])
    at_once = max(1, PIXELS_AT_ONCE // (size[0] * size[1]))
    surfaces = [_visible(part, faces, size) for part in homogeneous.split(at_once)]
    face, depth, barycentrics = (torch.cat(maps) for maps in zip(*surfaces, strict=True))
    return VisibleSurface(
        face.reshape(*batch, *size),
        depth.reshape(*batch, *size),
        barycentrics.reshape(*batch, *size, 3),
    )


def _visible(
    homogeneous: Float[Tensor, "pictures vertices 3"],
    faces: Int[Tensor, "faces 3"],
    size: tuple[int, int],
) -> VisibleSurface:
    """What is seen in a few pictures."""
    shape = (len(homogeneous), *size)
    hits = _hits(homogeneous, faces, _candidates(homogeneous, faces, size), size)
    nearest = hits.depth.new_full((math.prod(shape),), torch.inf)
    nearest.scatter_reduce_(0, hits.pixel, hits.depth, "amin")
    # Hits come in the order of their faces: the first of several equally near ones wins.
    order = torch.arange(len(hits.face), device=faces.device)
    order = torch.where(hits.depth == nearest[hits.pixel], order, len(order))
    winner = order.new_full((math.prod(shape),), len(order))
    winner.scatter_reduce_(0, hits.pixel, order, "amin")
    seen = torch.nonzero(winner < len(order))[:, 0]
    winner = winner[seen]
    face = faces.new_full((math.prod(shape),), -1)
    face[seen] = hits.face[winner]
    barycentrics = hits.barycentrics.new_zeros(math.prod(shape), 3)
    barycentrics[seen] = hits.barycentrics[winner]
    return VisibleSurface(
        face.reshape(shape), nearest.reshape(shape), barycentrics.reshape(*shape, 3)
    )


def _candidates(
    homogeneous: Float[Tensor, "pictures vertices 3"],
    faces: Int[Tensor, "faces 3"],
    size: tuple[int, int],
) -> _Candidates:
    """Triangles whose boxes hold the centre of a pixel and that may show their front."""
    # Pictures last: a corner of a face is then looked up for all of them at once.
    x, y, depths = homogeneous.permute(2, 1, 0).contiguous()
    beyond = depths.clamp_min(NEAR)
    (ax, bx, cx), (ay, by, cy) = (
        [plane.index_select(0, faces[:, corner]) for corner in range(3)]
        for plane in (x / beyond, y / beyond)
    )
    box = torch.stack(
        (_least(ax, bx, cx), _least(ay, by, cy), _most(ax, bx, cx), _most(ay, by, cy))
    )
    # y points down, so what is counter-clockwise to the eye has a negative area.
    shown = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) <= 0
    near = depths < NEAR
    if near.any():
        behind = near[faces]
        crossing = behind.any(1) & ~behind.all(1)
        box[:, crossing] = _box_of_crossing(homogeneous, faces, crossing)
        shown = torch.where(behind.any(1), crossing, shown)
    height, width = size
    limits = box.new_tensor([width, height])[:, None, None]
    first = torch.ceil(box[:2] - 0.5 - MARGIN_PX).clamp_min(0)
    count = (torch.floor(box[2:] - 0.5 + MARGIN_PX).minimum(limits - 1) - first + 1).clamp_min(0)
    face, picture = torch.nonzero(shown & (count[0] * count[1] > 0), as_tuple=True)
    corner, extent = first[:, face, picture].long(), count[:, face, picture].long()
    return _Candidates(picture, face, *corner, *extent)


def _box_of_crossing(
    homogeneous: Float[Tensor, "pictures vertices 3"],
    faces: Int[Tensor, "faces 3"],
    crossing: Bool[Tensor, "faces pictures"],
) -> Float[Tensor, "4 crossings"]:
    """Left, top, right and bottom of what triangles show beyond the near plane."""
    face, picture = torch.nonzero(crossing, as_tuple=True)
    corners = homogeneous[picture[:, None], faces[face]]
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
    homogeneous: Float[Tensor, "pictures vertices 3"],
    faces: Int[Tensor, "faces 3"],
    candidates: _Candidates,
    size: tuple[int, int],
) -> _Hits:
    """Where the rays of pixels' centres meet the candidates from their front."""
    counts = candidates.width * candidates.height
    entry = torch.repeat_interleave(counts)
    within = torch.arange(len(entry), device=entry.device) - (counts.cumsum(0) - counts)[entry]
    picture, face, left, top, width, _ = (values[entry] for values in candidates)
    x, y = left + within % width, top + within // width
    flat = homogeneous.flatten(0, 1).T.contiguous()
    center_x, center_y = x.to(flat.dtype) + 0.5, y.to(flat.dtype) + 0.5
    offsets, depths = [], []
    for corner in range(3):
        row = picture * homogeneous.shape[1] + faces[face, corner]
        depths.append(flat[2][row])
        # Corners as seen from the pixel: differences first, so that nothing large cancels.
        offsets.append(
            (flat[0][row] - center_x * depths[-1], flat[1][row] - center_y * depths[-1])
        )
    (ax, ay), (bx, by), (cx, cy) = offsets
    # Of an edge's two faces one gets exactly the other's number with its sign turned.
    weights = torch.stack((cx * by - cy * bx, ax * cy - ay * cx, bx * ay - by * ax))
    total = weights.sum(0)
    barycentrics = weights / total
    depth = sum(share * at for share, at in zip(barycentrics, depths, strict=True))
    met = torch.nonzero((weights >= 0).all(0) & (total > 0) & (depth >= NEAR))[:, 0]
    pixel = (picture * size[0] + y) * size[1] + x
    return _Hits(face[met], pixel[met], depth[met], barycentrics[:, met].T)


def _least(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.minimum(torch.minimum(a, b), c)


def _most(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.maximum(torch.maximum(a, b), c)
