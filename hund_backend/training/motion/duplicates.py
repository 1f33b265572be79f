"""Duplicate takes: the same performance in another skeleton, cut or sampled differently."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

STRIDE = 3  # frames between compared poses
MIN_POSES = 10  # compared poses that two clips must share
MIN_OVERLAP = 0.95  # of the shorter clip that they must share
# Correlation above which two clips are one take. Clips of equal length are compared at offset 0:
# there copies in another skeleton reach 0.94 (a few, with faulty arms) or 0.97 and all but two
# other walks stay below. A part of a longer take is searched for at all offsets, where a walk finds
# a similar one by chance.
SAME_CUT_THRESHOLD, PART_THRESHOLD, COPY_THRESHOLD = 0.93, 0.96, 0.995
MIN_PART_POSES = 30  # compared poses of a part


def take_of_clips(
    clips: Sequence[Float[np.ndarray, "_ features"]], packs: Sequence[str]
) -> Int[np.ndarray, " clips"]:
    """Take of each clip, as the index of the first clip that shows it.

    Args:
        clips: positions of joints of our mean body in its own frame, every `STRIDE` frames.
        packs: packs of the clips; within a pack only copies of the very frames are one take, since
            several takes of one person's walk are alike in skeleton and style too.
    """
    take = np.arange(len(clips))
    for later in range(len(clips)):
        for earlier in range(later):
            if take[earlier] != take[later] and is_same_take(
                clips[earlier], clips[later], same_pack=packs[earlier] == packs[later]
            ):
                both = sorted((take[earlier], take[later]))
                take[take == both[1]] = both[0]
    return take


def is_same_take(
    first: Float[np.ndarray, "frames features"],
    second: Float[np.ndarray, "other_frames features"],
    *,
    same_pack: bool,
) -> bool:
    """Return whether two clips show one performance."""
    if min(len(first), len(second)) < MIN_POSES:
        return False
    same_cut = abs(len(first) - len(second)) <= 1
    if same_cut and not same_pack:
        rows = min(len(first), len(second))
        return _correlation(first[:rows], second[:rows]) > SAME_CUT_THRESHOLD
    if not same_pack and min(len(first), len(second)) < MIN_PART_POSES:
        return False
    return best_correlation(first, second)[0] > (COPY_THRESHOLD if same_pack else PART_THRESHOLD)


def best_correlation(
    first: Float[np.ndarray, "frames features"], second: Float[np.ndarray, "other_frames features"]
) -> tuple[float, int]:
    """Correlation of two clips at the offset at which it is highest, and that offset.

    Poses are taken relative to the clip's mean pose, so that another skeleton's proportions count
    little: 1 is the same movement, 0 an unrelated one. All offsets are computed at once by the
    convolution theorem.

    Args:
        first: positions of joints in the body's own frame, one row a pose.
        second: the same of another clip.

    Returns:
        The correlation, and the row of the first clip at which the second starts.
    """
    rows, other_frames = len(first), len(second)
    size = 1 << (rows + other_frames - 1).bit_length()

    def cross_correlate(
        a: Float[np.ndarray, "frames _"], b: Float[np.ndarray, "other_frames _"]
    ) -> np.ndarray:
        """Σ_t a(t + offset) b(t), offsets 1 − others … rows − 1."""
        product = np.fft.rfft(a, size, axis=0) * np.fft.rfft(b, size, axis=0).conj()
        return np.roll(np.fft.irfft(product, size, axis=0), other_frames - 1, axis=0)[
            : rows + other_frames - 1
        ]

    ones, other_ones = np.ones((rows, 1)), np.ones((other_frames, 1))
    count = np.round(cross_correlate(ones, other_ones))
    sums, other_sums = cross_correlate(first, other_ones), cross_correlate(ones, second)
    covariance = (cross_correlate(first, second) - sums * other_sums / count).sum(-1)
    variance = (cross_correlate(first**2, other_ones) - sums**2 / count).sum(-1)
    other_variance = (cross_correlate(ones, second**2) - other_sums**2 / count).sum(-1)
    scale = np.sqrt(np.maximum(variance, 1e-9) * np.maximum(other_variance, 1e-9))
    enough = count[:, 0] >= max(MIN_POSES, MIN_OVERLAP * min(rows, other_frames))
    values = np.where(enough, covariance / scale, -1.0)
    best = int(values.argmax())
    return float(values[best]), best - (other_frames - 1)


def _correlation(
    first: Float[np.ndarray, "frames features"], second: Float[np.ndarray, "frames features"]
) -> float:
    first, second = first - first.mean(0), second - second.mean(0)
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / max(scale, 1e-9))
