"""Doubt: moments in which two people overlap, and a tracker may exchange them.

There tracklets are cut, so that the assignment over the whole clip decides who goes on as whom by
what was seen before and after. The detections in between are given to the people afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from .crop_detector import HIP, NUM_KEYPOINTS, Detection
from .identity import IdentityConfig, color_cost, mean_colors, seen_colors
from .tracklets import Tracklet, hip_velocity, split_at
from .tracks import box_iou

IMPOSSIBLE = 1e3


@dataclass(frozen=True, kw_only=True)
class DoubtConfig:
    """Thresholds of doubtful moments and of what is given back."""

    iou: float = 0.55  # of two people's boxes
    hidden_seconds: float = 0.5  # before a tracklet begins and after it ends, moved on
    margin_seconds: float = 0.07  # added before and after
    pause_seconds: float = 0.25  # without overlap that does not end a moment
    max_seconds: float = 2.0  # people who overlap longer are distinguished by the tracker alone
    min_detections: int = 3  # of a piece that is left between two moments
    max_share: float = 0.6  # of a tracklet's detections
    reach_seconds: float = 1.0  # from a detection that is given back to one that is sure
    max_distance: float = 0.35  # of its keypoints from those expected, sides of the crop
    distance_noise: float = 0.1  # of that distance
    color_noise: float = 10.0  # of colors while somebody is half hidden
    continuation: float = 1.0  # less cost where the last one of a run went to the same person
    change_seconds: float = 0.4  # before and after a change of colors
    change_cost: float = 3.0  # of colors before against those after, for another person
    clear_quality: float = 0.65  # of who stands in front and is hardly taken for another
    jump: float = 0.35  # step of the hip beyond the expected one, sides of the crop


def part_at_changes(
    tracklets: Sequence[Tracklet], fps: float, config: DoubtConfig, identity: IdentityConfig
) -> list[Tracklet]:
    """Cut tracklets where the person jumps or changes clothes: there the tracker took another."""
    parts = []
    for tracklet in tracklets:
        starts = _changes(tracklet, max(3, round(config.change_seconds * fps)), config, identity)
        parts += split_at(tracklet, tuple(starts))
    return parts


def _changes(
    tracklet: Tracklet, window: int, config: DoubtConfig, identity: IdentityConfig
) -> list[int]:
    """Return the positions from which a tracklet shows somebody else."""
    positions = sorted(tracklet)
    detections = [tracklet[position] for position in positions]
    colors = seen_colors(detections)
    costs = np.full(len(positions), -np.inf)
    for index in range(window // 2, len(positions) - window // 2):
        before = mean_colors(colors[max(index - window, 0) : index])
        after = mean_colors(colors[index : index + window])
        costs[index] = color_cost(before, after, identity.color_noise_near, identity)
    found = [
        positions[index]
        for index in np.flatnonzero(costs > config.change_cost)
        if costs[index] == costs[max(index - window, 0) : index + window].max()
    ]
    for index in range(2, len(positions) - 1):
        steps = np.diff(positions[index - 2 : index + 1])
        hips = np.stack([d.points[HIP] for d in detections[index - 2 : index + 1]])
        expected = (hips[1] - hips[0]) / steps[0] * min(steps[1], 3)
        side = detections[index].crop[2]
        ahead = np.linalg.norm(hips[2] - hips[1] - expected)
        if min(ahead, np.linalg.norm(hips[2] - hips[1])) > config.jump * side * np.sqrt(steps[1]):
            found.append(positions[index])
    return sorted(found)


@dataclass(frozen=True, kw_only=True)
class Parted:
    """Tracklets, cut where two people overlap."""

    pieces: list[Tracklet]  # with a sure identity
    doubtful: list[Tracklet]  # runs between them
    followed: dict[tuple[int, int], float]
    """How well the tracker saw the person between two successive pieces of a tracklet, 0…1."""


def part_at_overlaps(tracklets: Sequence[Tracklet], fps: float, config: DoubtConfig) -> Parted:
    """Cut tracklets where two people overlap for a short time."""
    overlaps = [set[int]() for _ in tracklets]
    paths = [box_path(tracklet, round(config.hidden_seconds * fps)) for tracklet in tracklets]
    for one in range(len(tracklets)):
        for other in range(one):
            common = sorted(paths[one].keys() & paths[other].keys())
            frames = [p for p in common if box_iou(paths[one][p], paths[other][p]) > config.iou]
            for start, end in _moments(frames, round(config.pause_seconds * fps)):
                if end - start < config.max_seconds * fps:
                    margin = round(config.margin_seconds * fps)
                    doubtful = range(start - margin, end + margin + 1)
                    overlaps[one] |= tracklets[one].keys() & doubtful
                    overlaps[other] |= tracklets[other].keys() & doubtful
    parted = Parted(pieces=[], doubtful=[], followed={})
    for tracklet, overlap in zip(tracklets, overlaps, strict=True):
        if not overlap or len(overlap) > config.max_share * len(tracklet):
            parted.pieces.append(tracklet)
            continue
        sure, runs = _parted(tracklet, overlap, config.min_detections)
        for index, (earlier, later) in enumerate(pairwise(sure), start=len(parted.pieces)):
            parted.followed[index, index + 1] = _seen_between(earlier, later, tracklet, config)
        parted.pieces.extend(sure)
        parted.doubtful.extend(runs)
    return parted


def _seen_between(
    earlier: Tracklet, later: Tracklet, tracklet: Tracklet, config: DoubtConfig
) -> float:
    """Return the share of the frames between two pieces in which the person is seen clearly."""
    between = range(max(earlier) + 1, min(later))
    clear = [p in tracklet and tracklet[p].quality >= config.clear_quality for p in between]
    return float(np.mean(clear)) if clear else 1.0


def box_path(tracklet: Tracklet, beyond: int) -> dict[int, Float[np.ndarray, "4"]]:
    """Return boxes in all frames of a tracklet, in its gaps and some frames beyond its ends."""
    positions = np.array(sorted(tracklet))
    boxes = np.stack([tracklet[int(p)].box for p in positions])
    low, high = int(positions[0]), int(positions[-1])
    frames = np.arange(low - beyond, high + beyond + 1)
    path = np.stack([np.interp(frames, positions, column) for column in boxes.T], axis=-1)
    over = max(2, beyond // 2)
    velocities = (
        hip_velocity(tracklet, low, over, before=False),
        hip_velocity(tracklet, high, over, before=True),
    )
    for velocity, steps in zip(
        velocities, (np.minimum(frames - low, 0), np.maximum(frames - high, 0)), strict=True
    ):
        path += np.tile(steps[:, None] * velocity, 2)
    return dict(zip(frames.tolist(), path, strict=True))


def _moments(frames: list[int], pause: int) -> list[tuple[int, int]]:
    """Return first and last of the runs of frames with gaps up to `pause`."""
    if not frames:
        return []
    runs = np.split(np.array(frames), np.flatnonzero(np.diff(frames) > pause) + 1)
    return [(int(run[0]), int(run[-1])) for run in runs]


def _parted(
    tracklet: Tracklet, overlap: set[int], min_detections: int
) -> tuple[list[Tracklet], list[Tracklet]]:
    """Part a tracklet into runs outside and inside of doubtful frames."""
    runs: list[tuple[bool, Tracklet]] = []
    for position, detection in tracklet.items():
        inside = position in overlap
        if not runs or runs[-1][0] != inside:
            runs.append((inside, {}))
        runs[-1][1][position] = detection
    sure = [run for inside, run in runs if not inside and len(run) >= min_detections]
    doubtful = [run for inside, run in runs if inside or len(run) < min_detections]
    return sure, doubtful


def give_back(
    people: Sequence[Tracklet],
    doubtful: Sequence[Tracklet],
    fps: float,
    config: DoubtConfig,
    identity: IdentityConfig,
) -> list[Tracklet]:
    """Give doubtful detections to the people who are expected where they are, frame by frame."""
    people = [dict(person) for person in people]
    colors = [mean_colors(seen_colors(list(person.values()))) for person in people]
    by_frame: dict[int, list[tuple[int, Detection]]] = {}
    for run, tracklet in enumerate(doubtful):
        for position, detection in tracklet.items():
            by_frame.setdefault(position, []).append((run, detection))
    known = [np.array(sorted(person)) for person in people]
    last_of_run: dict[int, int] = {}  # person by run
    reach = config.reach_seconds * fps
    for position in sorted(by_frame):
        candidates = by_frame[position]
        cost = np.full((len(people), len(candidates)), IMPOSSIBLE)
        for index, person in enumerate(people):
            expected = _expected(person, known[index], position, reach)
            if expected is None:
                continue
            for column, (run, detection) in enumerate(candidates):
                points = detection.points[:NUM_KEYPOINTS]
                weights = detection.confidence + 1e-3
                far = np.linalg.norm(points - expected, axis=-1) / detection.crop[2]
                distance = float((weights * far.clip(max=1)).sum() / weights.sum())
                if distance < config.max_distance:
                    place = 0.5 * (distance / config.distance_noise) ** 2
                    colored = color_cost(
                        colors[index], seen_colors([detection])[0], config.color_noise, identity
                    )
                    same = config.continuation * (last_of_run.get(run) == index)
                    cost[index, column] = place + colored - same
        for index, column in zip(*linear_sum_assignment(cost), strict=True):
            if cost[index, column] < IMPOSSIBLE:
                run, detection = candidates[column]
                people[index][position] = detection
                known[index] = np.sort(np.append(known[index], position))
                last_of_run[run] = int(index)
    return [dict(sorted(person.items())) for person in people]


def _expected(
    person: Tracklet, known: np.ndarray, position: int, reach: float
) -> Float[np.ndarray, "33 2"] | None:
    """Return a person's keypoints in a frame, from those before and after; None if far or known."""
    after = int(np.searchsorted(known, position))
    if after < len(known) and known[after] == position:
        return None
    near = [int(p) for p in known[max(after - 1, 0) : after + 1] if abs(p - position) <= reach]
    if not near:
        return None
    points = [person[p].points[:NUM_KEYPOINTS] for p in near]
    if len(near) == 2:
        share = (position - near[0]) / (near[1] - near[0])
        return (1 - share) * points[0] + share * points[1]
    velocity = hip_velocity(person, near[0], 6, before=near[0] < position)
    return points[0] + (position - near[0]) * velocity


assert HIP == NUM_KEYPOINTS
