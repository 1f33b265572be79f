"""Metrics of part maps: counts of cells by true and predicted part, and scores of them."""

import numpy as np
from jaxtyping import Float, Int

from ...body.skeleton import PART_MIRROR, PART_NAMES

Confusion = Int[np.ndarray, "parts parts"]  # cells by true part, then by predicted part
PARTS = len(PART_NAMES)


def confusion(true: Int[np.ndarray, "*shape"], predicted: Int[np.ndarray, "*shape"]) -> Confusion:
    """Count cells by true and predicted part, indices into PART_NAMES."""
    pairs = PARTS * true.astype(np.int64).ravel() + predicted.astype(np.int64).ravel()
    return np.bincount(pairs, minlength=PARTS**2).reshape(PARTS, PARTS)


def part_iou(counts: Confusion) -> Float[np.ndarray, " parts"]:
    """Intersection over union of each part, over all cells; NaN for parts that do not occur."""
    both = counts.diagonal().astype(float)
    either = counts.sum(0) + counts.sum(1) - both
    return np.divide(both, either, out=np.full(PARTS, np.nan), where=either > 0)


def mean_part_iou(counts: Confusion) -> float:
    """Mean over the parts of the body, without the background."""
    return float(np.nanmean(part_iou(counts)[1:]))


def foreground_iou(counts: Confusion) -> float:
    """Intersection over union of the whole person."""
    both = counts[1:, 1:].sum()
    return float(both / (counts.sum() - counts[0, 0]))


def side_confusion(counts: Confusion) -> float:
    """Share of the cells with the right kind of limb that have the wrong side."""
    rows = np.arange(PARTS)
    mirror = np.array(PART_MIRROR)
    sided = mirror != rows
    wrong = counts[rows, mirror][sided].sum()
    return float(wrong / (wrong + counts.diagonal()[sided].sum()))
