"""Samples of part maps: each part's region as a few discs, on its borders and along its middle."""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import pad

from hund_backend.body.skeleton import PART_NAMES

MIDDLES, BORDERS = 12, 28  # discs of each part at most: along its middle, and on its border
NUM_PARTS = len(PART_NAMES) - 1  # without the background
_LAST = 2**20  # rank of what is not wanted


class Discs(NamedTuple):
    """Discs that together cover the parts' regions; parts are those of PART_NAMES from the second on."""

    cell: Int[Tensor, "frames parts discs"]  # of the middle, counted row by row
    radius: Float[Tensor, "frames parts discs"]  # cells
    there: Bool[Tensor, "frames parts discs"]  # not an empty place
    area: Int[Tensor, "frames parts"]  # cells of the whole part
    on_border: Bool[Tensor, "frames parts discs"]


def part_discs(labels: UInt8[np.ndarray, "frames rows columns"]) -> Discs:
    """Cover each part by discs.

    A disc round a cell reaches to the border of its part. Few large ones along the middle cover most of
    a region, and its border's cells, evenly thinned out, the rest.

    Args:
        labels: indices into PART_NAMES; 0 is the background.
    """
    border = _borders(labels)
    radius = np.stack([_reach(cells) for cells in border]) + 0.5
    peaks = np.stack([cv2.dilate(reach, np.ones((3, 3), np.uint8)) for reach in radius])
    middle = (radius >= peaks) & ~border
    here, reach = torch.from_numpy(labels).flatten(1).long(), torch.from_numpy(radius).flatten(1)
    chosen = [
        _evenly(here, torch.from_numpy(kind).flatten(1), labels.shape[1:], count)
        for kind, count in ((middle, MIDDLES), (border, BORDERS))
    ]
    cell = torch.cat([cells for cells, _ in chosen], dim=-1)
    there = torch.cat([there for _, there in chosen], dim=-1)
    area = torch.zeros(len(labels), len(PART_NAMES), dtype=torch.int64)
    area.scatter_add_(1, here, torch.ones_like(here))
    frame = torch.arange(len(labels))[:, None, None]
    on_border = there & (torch.arange(there.shape[-1]) >= MIDDLES)
    return Discs(cell, reach[frame, cell].double(), there, area[:, 1:], on_border)


def _borders(labels: np.ndarray) -> Bool[np.ndarray, "frames rows columns"]:
    """Cells beside which another part, or the background, is."""
    border = np.zeros(labels.shape, bool)
    across, down = labels[:, :, 1:] != labels[:, :, :-1], labels[:, 1:] != labels[:, :-1]
    border[:, :, 1:] |= across
    border[:, :, :-1] |= across
    border[:, 1:] |= down
    border[:, :-1] |= down
    return border


def _reach(border: Bool[np.ndarray, "rows columns"]) -> np.ndarray:
    """Distance of each cell from the nearest cell of a border."""
    apart = (~border).astype(np.uint8)
    return cv2.distanceTransform(apart, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _evenly(
    labels: Int[Tensor, "frames cells"],
    wanted: Bool[Tensor, "frames cells"],
    size: tuple[int, ...],
    count: int,
) -> tuple[Int[Tensor, "frames parts count"], Bool[Tensor, "frames parts count"]]:
    """So many of the wanted cells of each part, evenly spread, and which of the places are filled."""
    key = torch.where(wanted & (labels > 0), labels * 64 + _dither(size).flatten(), _LAST)
    order = key.argsort(dim=1, stable=True)
    found = torch.zeros(len(labels), len(PART_NAMES), dtype=torch.int64)
    found.scatter_add_(1, labels, (key < _LAST).long())
    starts = pad(found[:, 1:].cumsum(1), (1, 0))[:, :-1]
    slot = torch.arange(count)
    there = slot < found[:, 1:, None]
    place = (starts[..., None] + slot).clamp(max=labels.shape[1] - 1)
    return order.gather(1, place.flatten(1)).reshape(place.shape), there


def _dither(size: tuple[int, ...]) -> Int[Tensor, "rows columns"]:
    """Bayer's matrix (1973), repeated: cells below any rank are spread evenly over the plane."""
    matrix = torch.zeros(1, 1, dtype=torch.int64)
    for _ in range(3):
        top = torch.cat((4 * matrix, 4 * matrix + 2), dim=1)
        matrix = torch.cat((top, torch.cat((4 * matrix + 3, 4 * matrix + 1), dim=1)))
    rows, columns = size
    return matrix.repeat(-(-rows // 8), -(-columns // 8))[:rows, :columns]
