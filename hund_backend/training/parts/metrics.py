"""How well part maps agree: counts of cells by true and told part, and what follows from them."""

import numpy as np
from jaxtyping import Float, Int

from hund_backend.body.skeleton import PART_MIRROR, PART_NAMES

Confusion = Int[np.ndarray, "parts parts"]  # cells by true part, then by told part
PARTS = len(PART_NAMES)


def confusion(true: Int[np.ndarray, "*shape"], told: Int[np.ndarray, "*shape"]) -> Confusion:
    """Counts of cells by true and told part, indices into PART_NAMES."""
    pairs = PARTS * true.astype(np.int64).ravel() + told.astype(np.int64).ravel()
    return np.bincount(pairs, minlength=PARTS**2).reshape(PARTS, PARTS)


def part_iou(counts: Confusion) -> Float[np.ndarray, " parts"]:
    """Intersection over union of each part, over all cells; NaN where a part is nowhere."""
    both = counts.diagonal().astype(float)
    either = counts.sum(0) + counts.sum(1) - both
    return np.divide(both, either, out=np.full(PARTS, np.nan), where=either > 0)


def mean_part_iou(counts: Confusion) -> float:
    """Mean over the parts of the body; the background does not count."""
    return float(np.nanmean(part_iou(counts)[1:]))


def foreground_iou(counts: Confusion) -> float:
    """Intersection over union of the whole person."""
    both = counts[1:, 1:].sum()
    return float(both / (counts.sum() - counts[0, 0]))


def side_confusion(counts: Confusion) -> float:
    """Share of the cells told to be of the right kind of limb that are told of the wrong side."""
    rows = np.arange(PARTS)
    mirror = np.array(PART_MIRROR)
    sided = mirror != rows
    wrong = counts[rows, mirror][sided].sum()
    return float(wrong / (wrong + counts.diagonal()[sided].sum()))
