"""Focal length from people who walk in depth.

A focal length that is assumed too long puts people too far away, and their way in depth comes out
too long by the same factor. Their steps say how long it is: a foot that bears stays in place, so
the pelvis moves as far as the pose says that the foot stays behind.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from .posed_track import PosedTrack

PRIOR_STD = 0.3  # of the logarithm of the focal length around the assumed one
STEPS_STD = 0.15  # of the logarithm of a way by steps: steps come out too short or too long
POSITION_STD = 0.02  # metres, of a way by steps
MIN_BEARING = 0.3  # confidence of contact from which a step counts
MIN_STEPS = 5  # pairs of frames
RATIOS = (0.35, 2.8)  # of both ways; others are no matter of the focal length (a zoom, a ride)
MIN_CONFIDENCE = 0.4  # from which the estimate is better than the assumption


@dataclass(frozen=True, kw_only=True)
class FocalLength:
    """Estimated focal length."""

    ratio: float  # to the assumed one
    confidence: float  # 0: as much as before is known, 1: it is known exactly

    @property
    def is_sure(self) -> bool:
        """Whether it is better than the assumed one."""
        return self.confidence >= MIN_CONFIDENCE


def estimate_focal_length(
    posed_tracks: list[PosedTrack],
    bearing: tuple[Float[np.ndarray, "frames 6"], ...],
    shot_starts: tuple[int, ...] = (0,),
) -> FocalLength:
    """Estimate the focal length of a static camera from people who move in depth.

    Regression of everybody's way by steps on the way by size in the picture, both along the optical
    axis; the prior is the assumed focal length.

    Args:
        posed_tracks: people, posed with the assumed focal length.
        bearing: confidence that the points of SOLE_NAMES bear weight, 0…1.
        shot_starts: positions at which shots begin.
    """
    measured = [
        found
        for person, confidence in zip(posed_tracks, bearing, strict=True)
        if (found := _ratio(person, confidence, shot_starts)) is not None
    ]
    if not measured:
        return FocalLength(ratio=1.0, confidence=0.0)
    logs, variances = np.array(measured).T
    precision = (1 / variances).sum()
    mean = (logs / variances).sum() / precision
    # People who contradict each other leave it as doubtful as their contradiction.
    spread = ((logs - mean) ** 2 / variances).sum() / len(logs)
    variance = max(1.0, spread) / precision
    confidence = PRIOR_STD**2 / (PRIOR_STD**2 + variance)
    return FocalLength(ratio=float(np.exp(confidence * mean)), confidence=float(confidence))


def _ratio(
    person: PosedTrack, bearing: Float[np.ndarray, "frames 6"], shot_starts: tuple[int, ...]
) -> tuple[float, float] | None:
    """Return the logarithm of the ratio of both ways and its variance; None without steps."""
    pelvis = person.joints[:, 0, 2].astype(np.float64)
    behind = person.feet[..., 2] - pelvis[:, None]
    shared = np.minimum(bearing[1:], bearing[:-1])
    total = shared.sum(axis=1)
    by_steps = -(np.diff(behind, axis=0) * shared).sum(axis=1) / np.maximum(total, 1e-9)
    counts: Bool[np.ndarray, " steps"] = shared.max(axis=1) > MIN_BEARING
    counts &= person.present[1:] & person.present[:-1]
    counts[[start - 1 for start in shot_starts if 0 < start <= len(counts)]] = False
    if counts.sum() < MIN_STEPS:
        return None
    by_size = np.cumsum(np.diff(pelvis) * counts)
    by_steps = np.cumsum(by_steps * counts)
    by_size, by_steps = by_size - by_size.mean(), by_steps - by_steps.mean()
    way = float(np.sqrt(np.mean(by_size**2)))
    ratio = float(by_size @ by_steps) / max(float(by_size @ by_size), 1e-12)
    if not RATIOS[0] < ratio < RATIOS[1]:
        return None
    error = float(np.sqrt(np.mean((by_steps - ratio * by_size) ** 2))) + POSITION_STD
    return float(np.log(ratio)), STEPS_STD**2 + (error / (ratio * way)) ** 2
