"""Takes that appear twice, perhaps in another skeleton, cut elsewhere or sampled otherwise."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

STRIDE = 3  # frames from one compared pose to the next
LEAST = 10  # compared poses that two clips must share
OVERLAP = 0.95  # of the shorter clip that they must share
# Likeness above which two clips are one take. Cut alike, they are judged at that one offset:
# there copies in another skeleton reach 0.94 (a few, with faulty arms) or 0.97 and all but two
# other walks stay below. A part of a longer take is searched for at all offsets, where a walk finds
# a like one by chance.
CUT_ALIKE, PART, COPY = 0.93, 0.96, 0.995
PART_LEAST = 30  # compared poses of a part


def takes(
    clips: Sequence[Float[np.ndarray, "_ places"]], kinds: Sequence[str]
) -> Int[np.ndarray, " clips"]:
    """The take that each clip shows, as the index of the first clip that shows it.

    Args:
        clips: places of joints of our mean body in its own frame, every `STRIDE` frames.
        kinds: packs of the clips; within a pack only copies of the very frames are one take,
            since there the takes of one person's walk are alike in skeleton and style too.
    """
    take = np.arange(len(clips))
    for later in range(len(clips)):
        for earlier in range(later):
            if take[earlier] != take[later] and one_take(
                clips[earlier], clips[later], same_kind=kinds[earlier] == kinds[later]
            ):
                both = sorted((take[earlier], take[later]))
                take[take == both[1]] = both[0]
    return take


def one_take(
    first: Float[np.ndarray, "frames places"],
    second: Float[np.ndarray, "others places"],
    *,
    same_kind: bool,
) -> bool:
    """Whether two clips show one performance."""
    if min(len(first), len(second)) < LEAST:
        return False
    cut_alike = abs(len(first) - len(second)) <= 1
    if cut_alike and not same_kind:
        rows = min(len(first), len(second))
        return _correlation(first[:rows], second[:rows]) > CUT_ALIKE
    if not same_kind and min(len(first), len(second)) < PART_LEAST:
        return False
    return likeness(first, second)[0] > (COPY if same_kind else PART)


def likeness(
    first: Float[np.ndarray, "frames places"], second: Float[np.ndarray, "others places"]
) -> tuple[float, int]:
    """How alike two clips are at the offset at which they are most alike, and that offset.

    The correlation of their poses round their mean poses, so that another skeleton's proportions
    count for little: 1 is the same movement, 0 another one. Works for all offsets at once by the
    convolution theorem.

    Args:
        first: places of joints in the body's own frame, one row a pose.
        second: the same of another clip.

    Returns:
        The correlation, and the row of the first clip at which the second starts.
    """
    rows, others = len(first), len(second)
    size = 1 << (rows + others - 1).bit_length()

    def slid(a: Float[np.ndarray, "frames _"], b: Float[np.ndarray, "others _"]) -> np.ndarray:
        """Σ_t a(t + offset) b(t), offsets 1 − others … rows − 1."""
        product = np.fft.rfft(a, size, axis=0) * np.fft.rfft(b, size, axis=0).conj()
        return np.roll(np.fft.irfft(product, size, axis=0), others - 1, axis=0)[
            : rows + others - 1
        ]

    ones, other_ones = np.ones((rows, 1)), np.ones((others, 1))
    count = np.round(slid(ones, other_ones))
    sums, other_sums = slid(first, other_ones), slid(ones, second)
    covariance = (slid(first, second) - sums * other_sums / count).sum(-1)
    variance = (slid(first**2, other_ones) - sums**2 / count).sum(-1)
    other_variance = (slid(ones, second**2) - other_sums**2 / count).sum(-1)
    scale = np.sqrt(np.maximum(variance, 1e-9) * np.maximum(other_variance, 1e-9))
    enough = count[:, 0] >= max(LEAST, OVERLAP * min(rows, others))
    values = np.where(enough, covariance / scale, -1.0)
    best = int(values.argmax())
    return float(values[best]), best - (others - 1)


def _correlation(
    first: Float[np.ndarray, "frames places"], second: Float[np.ndarray, "frames places"]
) -> float:
    first, second = first - first.mean(0), second - second.mean(0)
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / max(scale, 1e-9))
