"""Linking: tracklets are joined into one track for each person and converted to evidence."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from .crop_detector import NUM_KEYPOINTS, Detection
from .evidence import Evidence
from .flips import FlipConfig, correct_flips
from .tracks import box_iou

Tracklet = dict[int, Detection]  # detections of one person by position in the clip, ascending
IMPOSSIBLE = 1e3  # cost of a link that is ruled out


@dataclass(frozen=True, kw_only=True)
class LinkConfig:
    """Thresholds for joining and dropping tracklets."""

    max_gap: float = 1.5  # seconds without a detection between two linked tracklets
    max_overlap: float = 0.3  # seconds with detections in both of two linked tracklets
    reach: float = 0.3  # shift in sides of the crop with a cost of 1, without a gap
    speed: float = 1.5  # growth of the reach with the gap, sides a second
    growth: float = 0.3  # change of the logarithm of the side with a cost of 1
    color_sigma: float = 30.0  # difference of colors with a cost of 1
    max_cost: float = 4.0  # of a link, the sum of the squares of these three
    duplicate_seconds: float = 0.2  # detections that a tracklet and its duplicate share
    duplicate_iou: float = 0.5  # mean of their boxes
    covered_iou: float = 0.3  # with a longer run, for a run that is too short to be presence
    duplicate_quality_gap: float = 0.1  # mean by which the duplicate's quality is lower
    min_run_seconds: float = 0.1  # with detections; shorter ones that stand alone are no presence
    min_seconds: float = 0.25  # with detections of a person
    min_quality: float = 0.5  # of a person: the upper quartile of the detections
    flips: FlipConfig = field(default_factory=FlipConfig)


def link_people(
    tracklets: Sequence[Tracklet],
    intrinsics: Float[np.ndarray, "3 3"],
    *,
    fps: float,
    num_frames: int,
    max_people: int | None,
    config: LinkConfig,
) -> list[Evidence]:
    """Return the evidence of everybody who is detected long enough, in order of appearance.

    Args:
        tracklets: detections by position in the clip, ascending.
        intrinsics: of the full frame.
        fps: frames a second.
        num_frames: of the clip.
        max_people: number of people to keep, the most prominent ones; None keeps all.
        config: see LinkConfig.
    """
    shortest = max(1, round(min(config.min_run_seconds * fps, num_frames / 2)))
    runs = [run for tracklet in tracklets for run in split_runs(tracklet, shortest)]
    runs = drop_covered_runs(runs, shortest, config)
    tracklets = merge_duplicates(sorted(runs, key=_first), fps, config)
    people = link_tracklets(tracklets, fps, config)
    people = [kept for person in people if (kept := drop_short_runs(person, shortest))]
    min_frames = min(config.min_seconds * fps, num_frames / 2)
    people = [p for p in people if len(p) >= min_frames and _quality(p) >= config.min_quality]
    people = sorted(people, key=_prominence, reverse=True)[:max_people]
    if fps >= config.flips.min_fps:
        people = [_without_flips(person, config.flips) for person in people]
    people.sort(key=lambda person: (_first(person), -_prominence(person)))
    return [build_evidence(person, intrinsics, track_id=i) for i, person in enumerate(people)]


def split_runs(tracklet: Tracklet, gap: int) -> list[Tracklet]:
    """Split a tracklet where it has no detections for more than `gap` frames."""
    positions = np.array(sorted(tracklet))
    runs = np.split(positions, np.flatnonzero(np.diff(positions) > gap) + 1)
    return [{int(p): tracklet[int(p)] for p in run} for run in runs]


def drop_short_runs(person: Tracklet, shortest: int) -> Tracklet:
    """Drop detections that stand alone in time: who is seen for a frame or two is mostly nobody.

    Gaps up to the shortest run that is kept do not end a run.
    """
    runs = [run for run in split_runs(person, shortest) if len(run) >= shortest]
    return {position: detection for run in runs for position, detection in run.items()}


def drop_covered_runs(
    runs: Sequence[Tracklet], shortest: int, config: LinkConfig
) -> list[Tracklet]:
    """Drop runs of a few detections where a longer run shows somebody at the same place."""
    longer = [run for run in runs if len(run) >= shortest]
    return [
        run
        for run in runs
        if len(run) >= shortest
        or not any(
            box_iou(detection.box, other[position].box) > config.covered_iou
            for position, detection in run.items()
            for other in longer
            if position in other
        )
    ]


def merge_duplicates(
    tracklets: Sequence[Tracklet], fps: float, config: LinkConfig
) -> list[Tracklet]:
    """Merge tracklets that are wrong detections of a person into that person's better tracklet.

    A duplicate overlaps the better tracklet for some time with clearly lower quality. Its
    detections in other frames are added to the better tracklet.
    """
    kept: list[Tracklet] = []
    for tracklet in sorted(tracklets, key=_quality, reverse=True):
        better = next((one for one in kept if _is_duplicate(tracklet, one, fps, config)), None)
        if better is None:
            kept.append(tracklet)
        else:
            better |= {p: detection for p, detection in tracklet.items() if p not in better}
    return sorted((dict(sorted(tracklet.items())) for tracklet in kept), key=_first)


def _is_duplicate(tracklet: Tracklet, other: Tracklet, fps: float, config: LinkConfig) -> bool:
    common = sorted(tracklet.keys() & other.keys())
    if len(common) < config.duplicate_seconds * fps:
        return False
    iou = np.mean([box_iou(tracklet[p].box, other[p].box) for p in common])
    gap = np.mean([other[p].quality - tracklet[p].quality for p in common])
    return bool(iou > config.duplicate_iou and gap > config.duplicate_quality_gap)


def link_tracklets(
    tracklets: Sequence[Tracklet], fps: float, config: LinkConfig
) -> list[Tracklet]:
    """Join tracklets that continue each other in time, place, size and colors.

    One assignment over all tracklets decides which are joined. Where two joined tracklets overlap
    the better detections are kept.
    """
    cost = np.full((len(tracklets), len(tracklets)), IMPOSSIBLE)
    for row, earlier in enumerate(tracklets):
        for column, later in enumerate(tracklets):
            cost[row, column] = _link_cost(earlier, later, fps, config)
    rows, columns = linear_sum_assignment(np.minimum(cost, config.max_cost))
    successor = {
        row: column
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if cost[row, column] < config.max_cost
    }
    tracks = []
    for first in sorted(set(range(len(tracklets))) - set(successor.values())):
        track, index = dict(tracklets[first]), first
        while index in successor:
            index = successor[index]
            for position, detection in tracklets[index].items():
                if position not in track or track[position].quality < detection.quality:
                    track[position] = detection
        tracks.append(dict(sorted(track.items())))
    return tracks


def _link_cost(earlier: Tracklet, later: Tracklet, fps: float, config: LinkConfig) -> float:
    """Return the cost of joining two tracklets, as a sum of squares."""
    start = _first(later)
    until = [position for position in earlier if position <= start]
    common = earlier.keys() & later.keys()
    if not until or max(later) <= max(earlier) or len(common) > config.max_overlap * fps:
        return IMPOSSIBLE
    if any(box_iou(earlier[p].box, later[p].box) < config.duplicate_iou for p in common):
        return IMPOSSIBLE
    end = max(until)
    seconds = (start - end) / fps
    if seconds > config.max_gap:
        return IMPOSSIBLE
    before, after = earlier[end], later[start]
    shift, side = after.crop[:2] - before.crop[:2], np.sqrt(before.crop[2] * after.crop[2])
    predicted_shift = _velocity(earlier, end) * (start - end)
    distance = min(np.linalg.norm(shift), np.linalg.norm(shift - predicted_shift)) / side
    colors = np.linalg.norm(_colors(earlier) - _colors(later), axis=-1).mean()
    reach = config.reach + config.speed * seconds
    growth = np.log(after.crop[2] / before.crop[2])
    terms = (distance / reach, growth / config.growth, colors / config.color_sigma)
    return float(np.square(terms).sum())


def _velocity(tracklet: Tracklet, end: int, over: int = 6) -> Float[np.ndarray, "2"]:
    """Return the velocity of the crop over the frames before a position, px per frame."""
    past = [position for position in tracklet if end - over <= position < end]
    if not past:
        return np.zeros(2)
    return (tracklet[end].crop[:2] - tracklet[past[0]].crop[:2]) / (end - past[0])


def build_evidence(
    person: Tracklet, intrinsics: Float[np.ndarray, "3 3"], track_id: int
) -> Evidence:
    """Return evidence for all frames from the first detection to the last, gaps interpolated."""
    positions = np.array(sorted(person))
    detections = [person[position] for position in positions]
    frames = np.arange(positions[0], positions[-1] + 1)
    observed = np.isin(frames, positions)
    nearest = np.rint(np.interp(frames, positions, np.arange(len(positions)))).astype(int)
    crops = np.stack([d.crop for d in detections])
    crops[:, 2], crops[:, 3] = np.log(crops[:, 2]), np.unwrap(crops[:, 3])
    crops = _interpolate(crops, positions, frames)
    crops[:, 2] = np.exp(crops[:, 2])
    keypoints = np.stack([d.points[:NUM_KEYPOINTS] for d in detections])
    keypoints = _interpolate(keypoints, positions, frames)
    confidence = np.zeros((len(frames), NUM_KEYPOINTS))
    confidence[observed] = np.stack([d.confidence for d in detections])
    features = parts = None
    with_features = [i for i, detection in enumerate(detections) if detection.features is not None]
    if with_features:
        known = np.stack([detections[i].features for i in with_features])
        features = _interpolate(known, positions[with_features], frames)
    if detections[0].parts is not None:
        parts = np.stack([d.parts for d in detections])[nearest]
    return Evidence(
        track_id=track_id,
        frames=frames,
        observed=observed,
        keypoints=np.concatenate((keypoints, confidence[..., None]), axis=-1),
        world_landmarks=_interpolate(
            np.stack([d.world_landmarks for d in detections]), positions, frames
        ),
        crops=crops,
        intrinsics=np.repeat(intrinsics[None], len(frames), axis=0),
        masks=np.stack([d.mask for d in detections])[nearest],
        features=features,
        parts=parts,
    )


def _interpolate(values: np.ndarray, positions: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Interpolate values at positions linearly to all frames."""
    flat = values.reshape(len(positions), -1)
    columns = [np.interp(frames, positions, column) for column in flat.T]
    return np.stack(columns, axis=-1).reshape(len(frames), *values.shape[1:])


def _without_flips(person: Tracklet, config: FlipConfig) -> Tracklet:
    positions = sorted(person)
    detections = correct_flips([person[position] for position in positions], config)
    return dict(zip(positions, detections, strict=True))


def _first(person: Tracklet) -> int:
    return min(person)


def _colors(person: Tracklet) -> Float[np.ndarray, "segments 3"]:
    return np.median([detection.colors for detection in person.values()], axis=0)


def _quality(person: Tracklet) -> float:
    """Return the upper quartile of the detections' quality."""
    return float(np.quantile([detection.quality for detection in person.values()], 0.75))


def _prominence(person: Tracklet) -> float:
    """Return the sum of quality times crop side over all detections: long, near, well visible."""
    return float(sum(detection.quality * detection.crop[2] for detection in person.values()))
