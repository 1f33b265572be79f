"""Exact maps of body parts: which part a camera sees at each pixel, without derivatives."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import PART_NAMES

from .zbuffer import VisibleSurface, visible_surface


def part_labels(
    body: BodyModel,
    vertices: Float[Tensor, "*batch vertices 3"],
    intrinsics: Float[Tensor, "*batch 3 3"],
    size: tuple[int, int],
) -> Int[Tensor, "*batch height width"]:
    """The part at each pixel's centre, as an index into PART_NAMES; 0 is the background.

    Args:
        body: whose faces the vertices have; "low" or "full".
        vertices: of the posed body, camera frame, metres.
        intrinsics: of the picture, pixels.
        size: height and width of the picture, pixels.
    """
    return part_of_pixel(body, visible_surface(vertices, body.faces, intrinsics, size))


def part_of_pixel(body: BodyModel, surface: VisibleSurface) -> Int[Tensor, "*batch height width"]:
    """The parts of what is visible; 0 where there is nothing."""
    # A face of -1 takes the last place.
    table = torch.cat((body.part_of_face, body.part_of_face.new_zeros(1)))
    return table[surface.face]


def exact_parts(
    body: BodyModel,
    vertices: Float[Tensor, "*batch vertices 3"],
    intrinsics: Float[Tensor, "*batch 3 3"],
    size: tuple[int, int],
) -> Float[Tensor, "*batch parts height width"]:
    """One where a part is seen at a pixel's centre, else zero; channels are PART_NAMES.

    Arguments are those of `part_labels`.
    """
    labels = part_labels(body, vertices, intrinsics, size)
    return one_hot(labels, len(PART_NAMES)).movedim(-1, -3).to(vertices.dtype)
