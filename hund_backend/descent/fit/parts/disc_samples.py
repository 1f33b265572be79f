"""Disc samples of part maps: each part's region as a few discs, on its border and medial axis."""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import pad

from ....body.skeleton import PART_NAMES

MAX_MEDIAL, MAX_BORDER = 12, 28  # discs of each part: along its medial axis, and on its border
NUM_PARTS = len(PART_NAMES) - 1  # without the background
_EXCLUDED = 2**20  # rank of cells that are not candidates


class Discs(NamedTuple):
    """Discs that together cover the parts' regions; the background of PART_NAMES is left out."""

    cell: Int[Tensor, "frames parts discs"]  # flat index of the center's cell, row-major
    radius: Float[Tensor, "frames parts discs"]  # cells
    valid: Bool[Tensor, "frames parts discs"]  # False in padding
    area: Int[Tensor, "frames parts"]  # cells of the whole part
    on_border: Bool[Tensor, "frames parts discs"]


def part_discs(labels: UInt8[np.ndarray, "frames rows columns"]) -> Discs:
    """Cover each part by discs.

    A disc around a cell reaches to the border of its part. A few large ones along the medial axis
    cover most of a region; evenly thinned cells of its border cover the rest.

    Args:
        labels: indices into PART_NAMES; 0 is the background.
    """
    border = _borders(labels)
    radius = np.stack([_border_distance(cells) for cells in border]) + 0.5
    peaks = np.stack([cv2.dilate(reach, np.ones((3, 3), np.uint8)) for reach in radius])
    middle = (radius >= peaks) & ~border
    part_of_cell, reach = (
        torch.from_numpy(labels).flatten(1).long(),
        torch.from_numpy(radius).flatten(1),
    )
    samples = [
        _spread_evenly(part_of_cell, torch.from_numpy(kind).flatten(1), labels.shape[1:], count)
        for kind, count in ((middle, MAX_MEDIAL), (border, MAX_BORDER))
    ]
    cell = torch.cat([cells for cells, _ in samples], dim=-1)
    valid = torch.cat([valid for _, valid in samples], dim=-1)
    area = torch.zeros(len(labels), len(PART_NAMES), dtype=torch.int64)
    area.scatter_add_(1, part_of_cell, torch.ones_like(part_of_cell))
    frame = torch.arange(len(labels))[:, None, None]
    on_border = valid & (torch.arange(valid.shape[-1]) >= MAX_MEDIAL)
    return Discs(cell, reach[frame, cell].double(), valid, area[:, 1:], on_border)


def _borders(labels: np.ndarray) -> Bool[np.ndarray, "frames rows columns"]:
    """Cells with a neighbor of another part, or of the background."""
    border = np.zeros(labels.shape, bool)
    across, down = labels[:, :, 1:] != labels[:, :, :-1], labels[:, 1:] != labels[:, :-1]
    border[:, :, 1:] |= across
    border[:, :, :-1] |= across
    border[:, 1:] |= down
    border[:, :-1] |= down
    return border


def _border_distance(border: Bool[np.ndarray, "rows columns"]) -> np.ndarray:
    """Distance of each cell from the nearest cell of a border."""
    interior = (~border).astype(np.uint8)
    return cv2.distanceTransform(interior, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _spread_evenly(
    labels: Int[Tensor, "frames cells"],
    candidates: Bool[Tensor, "frames cells"],
    size: tuple[int, ...],
    count: int,
) -> tuple[Int[Tensor, "frames parts count"], Bool[Tensor, "frames parts count"]]:
    """Up to `count` of each part's candidate cells, evenly spread, and which slots are filled."""
    key = torch.where(candidates & (labels > 0), labels * 64 + _dither(size).flatten(), _EXCLUDED)
    order = key.argsort(dim=1, stable=True)
    counts = torch.zeros(len(labels), len(PART_NAMES), dtype=torch.int64)
    counts.scatter_add_(1, labels, (key < _EXCLUDED).long())
    starts = pad(counts[:, 1:].cumsum(1), (1, 0))[:, :-1]
    slot = torch.arange(count)
    valid = slot < counts[:, 1:, None]
    index = (starts[..., None] + slot).clamp(max=labels.shape[1] - 1)
    return order.gather(1, index.flatten(1)).reshape(index.shape), valid


def _dither(size: tuple[int, ...]) -> Int[Tensor, "rows columns"]:
    """Bayer's ordered-dither matrix (1973), tiled: cells below any rank are spread evenly."""
    matrix = torch.zeros(1, 1, dtype=torch.int64)
    for _ in range(3):
        top = torch.cat((4 * matrix, 4 * matrix + 2), dim=1)
        matrix = torch.cat((top, torch.cat((4 * matrix + 3, 4 * matrix + 1), dim=1)))
    rows, columns = size
    return matrix.repeat(-(-rows // 8), -(-columns // 8))[:rows, :columns]
