"""Tracklets: detections of one person by frame, as the tracker follows them."""

import numpy as np
from jaxtyping import Float

from .crop_detector import HIP, Detection

Tracklet = dict[int, Detection]  # by position in the clip, ascending

TRUNK = [11, 12, 23, 24]  # shoulders and hips among BlazePose's keypoints
TRUNK_SEEN = 0.3  # confidence of the best of them from which the trunk counts as seen


def split_runs(tracklet: Tracklet, gap: int) -> list[Tracklet]:
    """Split a tracklet where it has no detections for more than `gap` frames."""
    positions = np.array(sorted(tracklet))
    runs = np.split(positions, np.flatnonzero(np.diff(positions) > gap) + 1)
    return [{int(p): tracklet[int(p)] for p in run} for run in runs if len(run)]


def split_at(tracklet: Tracklet, starts: tuple[int, ...]) -> list[Tracklet]:
    """Split a tracklet before the given positions; parts without detections are left out."""
    parts: dict[int, Tracklet] = {}
    for position in sorted(tracklet):
        part = int(np.searchsorted(starts, position, side="right"))
        parts.setdefault(part, {})[position] = tracklet[position]
    return list(parts.values())


def drop_short_runs(person: Tracklet, shortest: int) -> Tracklet:
    """Drop detections that stand alone in time: who is seen for a frame or two is mostly nobody.

    Gaps up to the shortest run that is kept do not end a run.
    """
    runs = [run for run in split_runs(person, shortest) if len(run) >= shortest]
    return {position: detection for run in runs for position, detection in run.items()}


def drop_ends_without_trunk(person: Tracklet, gap: int) -> Tracklet:
    """Drop the begin and the end of runs in which nothing of the trunk is seen.

    Of somebody who leaves the picture, a hand is seen last, from which no pose can be found. People
    whose trunk is never seen keep all detections.

    Args:
        person: detections by position.
        gap: most frames without a detection inside a run.
    """
    seen = {p: detection.confidence[TRUNK].max() >= TRUNK_SEEN for p, detection in person.items()}
    if not any(seen.values()):
        return person
    kept: Tracklet = {}
    for run in split_runs(person, gap):
        with_trunk = [position for position in run if seen[position]]
        if with_trunk:
            kept |= {p: d for p, d in run.items() if with_trunk[0] <= p <= with_trunk[-1]}
    return kept


def merged(*tracklets: Tracklet) -> Tracklet:
    """Return the detections of several tracklets of one person, the better where they share."""
    found: Tracklet = {}
    for tracklet in tracklets:
        for position, detection in tracklet.items():
            if position not in found or found[position].quality < detection.quality:
                found[position] = detection
    return dict(sorted(found.items()))


def hip_velocity(
    tracklet: Tracklet, end: int, over: int, *, before: bool
) -> Float[np.ndarray, "2"]:
    """Return the velocity of the mid-hip near a position, px per frame, by least squares.

    Args:
        tracklet: with a detection at `end`.
        end: position.
        over: frames to look at.
        before: whether they lie before the position, else after it.
    """
    low, high = (end - over, end) if before else (end, end + over)
    positions = np.array([p for p in tracklet if low <= p <= high], float)
    if len(positions) < 3:
        return np.zeros(2)
    hips = np.stack([tracklet[int(p)].points[HIP] for p in positions])
    centered = positions - positions.mean()
    return (centered[:, None] * hips).sum(axis=0) / (centered**2).sum()


def first(tracklet: Tracklet) -> int:
    """Return the first position with a detection."""
    return min(tracklet)


def upper_quality(tracklet: Tracklet) -> float:
    """Return the upper quartile of the detections' quality."""
    return float(np.quantile([detection.quality for detection in tracklet.values()], 0.75))


def person_confidence(tracklet: Tracklet, share: float = 0.25) -> float:
    """Return the quality inside the frame that a share of the detections reach, 0…1.

    That of a quarter is the confidence that this is a person.
    """
    inside = [
        detection.quality if detection.quality_inside is None else detection.quality_inside
        for detection in tracklet.values()
    ]
    return min(float(np.quantile(inside, 1 - share)), 1.0)
