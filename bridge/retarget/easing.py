"""Easing: corrections of runs of frames, with smooth transitions between them."""

import numpy as np


def eased(corrections: np.ndarray, runs: list[tuple[int, int]], ease: int) -> np.ndarray:
    """Return the corrections of all runs, (frames, 3), with transitions between them.

    Args:
        corrections: of each run, (runs, frames, 3).
        runs: first and last frame of each.
        ease: frames of a transition; less where the next run begins before.
    """
    frames = corrections.shape[1]
    result = corrections.sum(0)
    if not runs:
        return result
    gaps = zip(
        [None, *range(len(runs))], [*range(len(runs)), None], strict=True
    )  # the runs before and after each gap
    for before, after in gaps:
        start = runs[before][1] + 1 if before is not None else 0
        stop = runs[after][0] if after is not None else frames
        first = corrections[before, start - 1] if before is not None else np.zeros(3)
        last = corrections[after, stop] if after is not None else np.zeros(3)
        steps = np.arange(1, stop - start + 1)
        if before is not None and after is not None and len(steps) <= 2 * ease:
            share = smoothstep(steps / (len(steps) + 1))[:, None]
            result[start:stop] = first + share * (last - first)
        else:
            leaving = smoothstep(1 - steps / (ease + 1))[:, None]
            coming = smoothstep(1 - steps[::-1] / (ease + 1))[:, None]
            result[start:stop] = first * leaving + last * coming
    return result


def smoothstep(share: np.ndarray) -> np.ndarray:
    """Rise from 0 at 0 to 1 at 1, without corners; constant beyond."""
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)
