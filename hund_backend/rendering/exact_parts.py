"""Exact part maps: the body part visible at each pixel, without derivatives."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from ..body.model import BodyModel
from ..body.skeleton import PART_NAMES
from .zbuffer import VisibleSurface, visible_surface


def part_labels(
    body: BodyModel,
    vertices: Float[Tensor, "*batch vertices 3"],
    intrinsics: Float[Tensor, "*batch 3 3"],
    size: tuple[int, int],
) -> Int[Tensor, "*batch height width"]:
    """Return the part at each pixel's center, as an index into PART_NAMES; 0 is the background.

    Args:
        body: model that has posed the vertices, at resolution "low" or "full".
        vertices: of the posed body, camera frame, metres.
        intrinsics: of the image, pixels.
        size: height and width of the image, pixels.
    """
    return part_of_pixel(body, visible_surface(vertices, body.faces, intrinsics, size))


def part_of_pixel(body: BodyModel, surface: VisibleSurface) -> Int[Tensor, "*batch height width"]:
    """Return the parts of a visible surface; 0 where there is no face."""
    # Face -1 selects the last entry.
    table = torch.cat((body.part_of_face, body.part_of_face.new_zeros(1)))
    return table[surface.face]


def exact_parts(
    body: BodyModel,
    vertices: Float[Tensor, "*batch vertices 3"],
    intrinsics: Float[Tensor, "*batch 3 3"],
    size: tuple[int, int],
) -> Float[Tensor, "*batch parts height width"]:
    """Return one-hot part maps: one where a part is visible at a pixel's center, else zero.

    The channels are PART_NAMES; the arguments are those of `part_labels`.
    """
    labels = part_labels(body, vertices, intrinsics, size)
    return one_hot(labels, len(PART_NAMES)).movedim(-1, -3).to(vertices.dtype)
