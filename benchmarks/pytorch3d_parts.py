"""Part maps by pytorch3d's rasterizer, where it is installed, for comparison.

The soft maps are those of Liu et al. ("Soft Rasterizer", ICCV 2019), which HUND's loss uses: a face
covers a pixel by the sigmoid of its distance, nearer faces count more, and the background shows
through all of them. `docs/decisions/0006-part-renderer.md` says how to install pytorch3d.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import PART_NAMES
from hund_backend.errors import BadInputError

MIN_COVERAGE = 1e-4  # of faces that count


def pytorch3d_labels(
    body: BodyModel,
    vertices: Float[Tensor, "batch vertices 3"],
    intrinsics: Float[Tensor, "batch 3 3"],
    size: tuple[int, int],
) -> Int[Tensor, "batch height width"]:
    """Return the part at each pixel's centre, as `part_labels` does.

    Raises:
        BadInputError: pytorch3d is not installed, or is built for another torch.
    """
    face, _, _ = _fragments(body, vertices, intrinsics, size, blur=0.0, layers=1)
    labels = body.part_of_face[face % len(body.faces)]
    return labels.masked_fill(face < 0, 0)[..., 0]


def pytorch3d_parts(
    body: BodyModel,
    vertices: Float[Tensor, "batch vertices 3"],
    intrinsics: Float[Tensor, "batch 3 3"],
    size: tuple[int, int],
    *,
    softness_px: float = 0.15,
    depth_scale: float = 0.02,
    layers: int = 24,
) -> Float[Tensor, "batch parts height width"]:
    """Render soft part maps; the channels are PART_NAMES and sum to one.

    Args:
        body: body model with the faces of the vertices.
        vertices: of the posed body, camera frame, metres.
        intrinsics: of the picture, pixels.
        size: height and width of the picture, pixels.
        softness_px: √σ of Liu et al., the blur of a face's border.
        depth_scale: gamma of Liu et al.: metres behind the nearest face for a weight of 1/e.
        layers: most faces that count at a pixel.

    Raises:
        BadInputError: pytorch3d is not installed, or is built for another torch.
    """
    sigma = (2 * softness_px / min(size)) ** 2
    blur = math.log(1 / MIN_COVERAGE - 1) * sigma
    face, depth, distance = _fragments(body, vertices, intrinsics, size, blur, layers)
    has_face = face >= 0
    cover = torch.sigmoid(-distance / sigma) * has_face
    opacity = 1 - (1 - cover).prod(-1)
    deep = depth.masked_fill(~has_face, torch.inf)
    nearest = deep.amin(-1, keepdim=True)
    nearest = nearest.masked_fill(nearest.isinf(), 0)
    # A depth of -1 stands for no face: mask before the exponential, or gradients become NaN.
    behind = torch.where(has_face, depth - nearest, torch.zeros_like(depth))
    weight = cover * torch.exp(-behind / depth_scale)
    part = one_hot(body.part_of_face[face % len(body.faces)], len(PART_NAMES)).to(weight.dtype)
    shares = (weight[..., None] * part).sum(-2)
    shares = shares / weight.sum(-1, keepdim=True).clamp_min(1e-12) * opacity[..., None]
    background = 1 - shares[..., 1:].sum(-1, keepdim=True)
    return torch.cat((background, shares[..., 1:]), dim=-1).movedim(-1, 1)


def _fragments(
    body: BodyModel,
    vertices: Tensor,
    intrinsics: Tensor,
    size: tuple[int, int],
    blur: float,
    layers: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return faces near each pixel, depths and squared distances, "batch height width layers".

    Distances are in pytorch3d's units, half the picture's shorter side.
    """
    try:
        from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
        from pytorch3d.structures import Meshes
    except ImportError as error:
        raise BadInputError(
            f"pytorch3d cannot be used ({error}): install it with the torch that it was built for."
        ) from error
    height, width = size
    homogeneous = vertices @ intrinsics.transpose(-1, -2)
    x, y = (homogeneous[..., :2] / homogeneous[..., 2:]).unbind(-1)
    # Axes of pytorch3d: x to the left, y up.
    centered = torch.stack((width - 2 * x, height - 2 * y), dim=-1) / min(size)
    points = torch.cat((centered, homogeneous[..., 2:]), dim=-1)
    face, depth, _, distance = rasterize_meshes(
        Meshes(points, body.faces.expand(len(points), -1, -1)),
        image_size=size,
        blur_radius=blur,
        faces_per_pixel=layers,
        perspective_correct=True,
        clip_barycentric_coords=blur > 0,
        cull_backfaces=True,
    )
    return face, depth, distance
