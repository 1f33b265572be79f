"""Linking: tracklets are joined into one track for each person and converted to evidence."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from .doubt import IMPOSSIBLE, DoubtConfig, box_path, give_back, part_at_changes, part_at_overlaps
from .evidence import Evidence
from .evidence_builder import build_evidence
from .flips import FlipConfig, correct_flips
from .identity import Description, IdentityConfig, color_cost, describe, motion_cost
from .prominence import prominence, static_confidence
from .tracklets import (
    Tracklet,
    drop_ends_without_trunk,
    drop_short_runs,
    first,
    merged,
    person_confidence,
    split_at,
    split_runs,
    upper_quality,
)
from .tracks import box_iou

logger = logging.getLogger(__name__)

MAX_STILL_FRAMES = 2  # of a clip that is taken for pictures

Choose = Callable[[Sequence[Tracklet]], list[bool | None]]
"""Says of each person whether they are chosen; None: whoever chose did not know of them."""


@dataclass(frozen=True, kw_only=True)
class LinkConfig:
    """Thresholds for joining and dropping tracklets.

    A person is followed while detections reach `TrackerConfig.min_quality`, and is somebody if a
    quarter of them reach this `min_quality`: scenery, textures and animals stay below it, and
    whoever is seen well for some time keeps the poor detections beside it (benchmarks/nobody.py).
    Whoever is blurred for most of a long time needs less, if they are clear for a tenth of it.
    """

    max_gap: float = 1.5  # seconds without a detection that motion bridges
    max_overlap: float = 0.3  # seconds with detections in both of two linked tracklets
    max_apart: float = 1.0  # of these detections, each 1 if their boxes have nothing in common
    max_cost: float = 2.0  # of a link by motion; see identity.py
    followed_gain: float = 1.0  # less cost where the tracker saw the person clearly in between
    return_cost: float = -0.7  # of colors, to know somebody who returns or is seen in another shot
    return_margin: float = 0.7  # by which anybody else's colors must fit worse
    return_detections: int = 8  # of a tracklet whose colors are trusted
    fragment_seconds: float = 0.5  # with detections of a fragment of somebody else's track
    fragment_iou: float = 0.25  # with that person's box, also between detections
    fragment_share: float = 0.6  # of the fragment's detections
    covered_iou: float = 0.3  # with a longer run, for a run that is too short to be presence
    duplicate_seconds: float = 0.2  # detections that a tracklet and its duplicate share
    duplicate_iou: float = 0.5  # mean of their boxes
    duplicate_quality_gap: float = 0.1  # mean by which the duplicate's quality is lower
    min_run_seconds: float = 0.1  # with detections; shorter ones that stand alone are no presence
    min_seconds: float = 0.25  # with detections of a person
    brief_seconds: float = 0.1  # the same of a person whose detections are good
    brief_quality: float = 0.75  # from which detections are good
    min_quality: float = 0.6  # of a person: `person_confidence`
    still_quality: float = 0.5  # of a person in a picture
    long_seconds: float = 1.0  # with detections, from which less is enough
    long_quality: float = 0.54  # of somebody detected for so long, in motion blur
    clear_quality: float = 0.7  # that a tenth of their detections reach
    max_static: float = 0.9  # confidence above which a still figure is nobody, beside who moves
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    doubt: DoubtConfig = field(default_factory=DoubtConfig)
    flips: FlipConfig = field(default_factory=FlipConfig)


class FoundPeople(list[Evidence]):
    """Evidence of the people in a clip, the most prominent first, and what else was found."""

    def __init__(
        self, people: Iterable[Evidence] = (), *, shots: tuple[int, ...] = (0,), left_out: int = 0
    ) -> None:
        super().__init__(people)
        self.shots = shots  # positions at which shots begin
        self.left_out = left_out  # people who were followed and are less prominent


def link_people(
    tracklets: Sequence[Tracklet],
    intrinsics: Float[np.ndarray, "3 3"],
    *,
    fps: float,
    num_frames: int,
    max_people: int | None,
    config: LinkConfig,
    shots: tuple[int, ...] = (0,),
    choose: Choose | None = None,
) -> FoundPeople:
    """Return the evidence of everybody who is detected long enough, the most prominent first.

    Args:
        tracklets: detections by position in the clip, ascending.
        intrinsics: of the full frame.
        fps: frames a second.
        num_frames: of the clip.
        max_people: number of people to keep, the most prominent ones; None keeps all.
        config: see LinkConfig.
        shots: positions at which shots begin.
        choose: says who is chosen: they come first and are kept even if they are still figures;
            who is not chosen is left out.
    """
    shortest = max(1, round(min(config.min_run_seconds * fps, num_frames / 2)))
    runs = [
        run
        for tracklet in tracklets
        for part in split_at(tracklet, shots)
        for run in split_runs(part, shortest)
    ]
    runs = drop_covered_runs(runs, shortest, config)
    runs = merge_duplicates(sorted(runs, key=first), fps, config)
    runs = part_at_changes(runs, fps, config.doubt, config.identity)
    parted = part_at_overlaps(runs, fps, config.doubt)
    people = link_tracklets(parted.pieces, fps, config, shots, parted.followed)
    people = give_back(people, parted.doubtful, fps, config.doubt, config.identity)
    people = [kept for person in people if (kept := drop_short_runs(person, shortest))]
    people = [drop_ends_without_trunk(person, shortest) for person in people]
    people = absorb_fragments(people, fps, config)
    people = join_by_appearance(people, fps, config)
    people = [person for person in people if _is_somebody(person, fps, num_frames, config)]
    people = sorted(people, key=lambda person: -prominence(person, fps))
    static = [static_confidence(person, fps) for person in people]
    moves = [confidence < config.max_static for confidence in static]
    chosen = [None] * len(people) if choose is None else choose(people)
    kept = [index for index in range(len(people)) if chosen[index]]
    kept += [
        index
        for index in range(len(people))
        if chosen[index] is None and (moves[index] or not any(moves))
    ]
    evidence = []
    for index in kept[:max_people]:
        person = people[index]
        if fps >= config.flips.min_fps:
            person = _without_flips(person, config.flips)
        evidence.append(
            build_evidence(
                person,
                intrinsics,
                track_id=len(evidence),
                shots=shots,
                static=static[index],
                confidence=person_confidence(person),
            )
        )
    left_out = len(kept) - len(evidence)
    if left_out:
        logger.info("%d people are kept, %d less prominent ones left out.", max_people, left_out)
    if len(kept) < len(people):
        logger.info("%d still figures or unchosen people are left out.", len(people) - len(kept))
    return FoundPeople(evidence, shots=shots, left_out=left_out)


def _is_somebody(person: Tracklet, fps: float, num_frames: int, config: LinkConfig) -> bool:
    """Return whether somebody is seen long and well enough; a short look has to be a good one."""
    good = upper_quality(person) >= config.brief_quality
    seconds = config.brief_seconds if good else config.min_seconds
    is_long = len(person) >= config.long_seconds * fps
    is_clear = person_confidence(person, share=0.1) >= config.clear_quality
    least = config.long_quality if is_long and is_clear else config.min_quality
    if num_frames <= MAX_STILL_FRAMES:
        least = min(least, config.still_quality)
    enough = min(seconds * fps, num_frames / 2)
    return len(person) >= enough and person_confidence(person) >= least


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
    for tracklet in sorted(tracklets, key=upper_quality, reverse=True):
        better = next((one for one in kept if _is_duplicate(tracklet, one, fps, config)), None)
        if better is None:
            kept.append(tracklet)
        else:
            better |= {p: detection for p, detection in tracklet.items() if p not in better}
    return sorted((dict(sorted(tracklet.items())) for tracklet in kept), key=first)


def _is_duplicate(tracklet: Tracklet, other: Tracklet, fps: float, config: LinkConfig) -> bool:
    common = sorted(tracklet.keys() & other.keys())
    if len(common) < config.duplicate_seconds * fps:
        return False
    iou = np.mean([box_iou(tracklet[p].box, other[p].box) for p in common])
    gap = np.mean([other[p].quality - tracklet[p].quality for p in common])
    return bool(iou > config.duplicate_iou and gap > config.duplicate_quality_gap)


def link_tracklets(
    tracklets: Sequence[Tracklet],
    fps: float,
    config: LinkConfig,
    shots: tuple[int, ...] = (0,),
    followed: Mapping[tuple[int, int], float] = MappingProxyType({}),
) -> list[Tracklet]:
    """Join tracklets that continue each other in time, place, size, direction and colors.

    One assignment over all tracklets of the clip decides which are joined: that of the least cost,
    where who is not continued costs `max_cost`.

    Args:
        tracklets: detections by position in the clip.
        fps: frames a second.
        config: see LinkConfig.
        shots: positions at which shots begin.
        followed: how well the tracker saw the person between two of the tracklets, 0…1.
    """
    described = [describe(tracklet, fps, config.identity) for tracklet in tracklets]
    shot_of = np.searchsorted(shots, [first(tracklet) for tracklet in tracklets], side="right")
    cost = np.full((len(tracklets), len(tracklets)), IMPOSSIBLE)
    for row, earlier in enumerate(tracklets):
        for column, later in enumerate(tracklets):
            if (
                row != column
                and shot_of[row] == shot_of[column]
                and ((row, column) in followed or _may_follow(earlier, later, fps, config))
            ):
                cost[row, column] = _link_cost(described[row], described[column], fps, config)
                seen = followed.get((row, column), 0.0)
                cost[row, column] -= config.followed_gain * seen
    return [merged(*(tracklets[i] for i in chain)) for chain in _chains(cost, config.max_cost)]


def _chains(cost: Float[np.ndarray, "rows rows"], max_cost: float) -> list[list[int]]:
    """Return the chains of the assignment of successors with the least cost."""
    rows, columns = linear_sum_assignment(np.minimum(cost, max_cost))
    successor = {
        row: column
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if cost[row, column] < max_cost
    }
    chains = []
    for start in sorted(set(range(len(cost))) - set(successor.values())):
        chain = [start]
        while chain[-1] in successor:
            chain.append(successor[chain[-1]])
        chains.append(chain)
    return chains


def _may_follow(earlier: Tracklet, later: Tracklet, fps: float, config: LinkConfig) -> bool:
    """Return whether one tracklet may go on as another: after it, or both at the same place."""
    if max(later) <= max(earlier) or first(later) <= first(earlier):
        return False
    if (first(later) - max(earlier)) / fps > config.max_gap:
        return False
    common = earlier.keys() & later.keys()
    overlaps = np.array([box_iou(earlier[p].box, later[p].box) for p in common])
    # Added up, so that it does not hang on whether one doubtful frame is there.
    apart = (1 - overlaps / config.duplicate_iou).clip(0).sum()
    return len(common) <= config.max_overlap * fps and bool(apart < config.max_apart)


def _link_cost(earlier: Description, later: Description, fps: float, config: LinkConfig) -> float:
    """Return the cost of joining two tracklets."""
    identity = config.identity
    near = color_cost(earlier.end.colors, later.start.colors, identity.color_noise_near, identity)
    whole = color_cost(earlier.colors, later.colors, identity.color_noise, identity)
    trusted = min(earlier.count, later.count) >= config.return_detections
    return motion_cost(earlier, later, fps, identity) + (whole if trusted else min(near, whole))


def absorb_fragments(people: Sequence[Tracklet], fps: float, config: LinkConfig) -> list[Tracklet]:
    """Give short tracks to the person in whose place they are: the same limbs explained twice.

    Where that person has no detection, the fragment's are taken.
    """
    ordered = sorted(people, key=len, reverse=True)
    kept: list[Tracklet] = []
    for person in ordered:
        short = len(person) < config.fragment_seconds * fps
        owner = next((k for k in kept if short and _lies_in(person, k, fps, config)), None)
        if owner is None:
            kept.append(dict(person))
        else:
            owner |= {p: detection for p, detection in person.items() if p not in owner}
    return [dict(sorted(person.items())) for person in kept]


def _lies_in(fragment: Tracklet, person: Tracklet, fps: float, config: LinkConfig) -> bool:
    """Return whether most of a fragment's boxes lie where a longer track is, or would be."""
    path = box_path(person, round(config.doubt.hidden_seconds * fps))
    inside = [
        p in path and box_iou(detection.box, path[p]) > config.fragment_iou
        for p, detection in fragment.items()
    ]
    return len(fragment) < len(person) and float(np.mean(inside)) >= config.fragment_share


def join_by_appearance(
    people: Sequence[Tracklet], fps: float, config: LinkConfig
) -> list[Tracklet]:
    """Join people who were out of view or are seen in several shots, where their colors are sure.

    The surest pair is joined first. A pair is sure if nobody who is in view with one of the two
    has colors as similar to the other.
    """
    people = list(people)
    while True:
        cost = _appearance_costs(people, fps, config)
        if not cost.size or cost.min() > config.return_cost:
            return people
        for flat in np.argsort(cost, axis=None):
            one, other = (int(i) for i in np.unravel_index(flat, cost.shape))
            if cost[one, other] > config.return_cost:
                return people
            together = (cost == IMPOSSIBLE) & ~np.eye(len(cost), dtype=bool)  # in view at once
            rivals = np.concatenate((cost[one, together[other]], cost[other, together[one]]))
            if rivals.min(initial=IMPOSSIBLE) - cost[one, other] >= config.return_margin:
                break
        else:
            return people
        joined = merged(people[one], people[other])
        people = [p for i, p in enumerate(people) if i not in (one, other)] + [joined]


def _appearance_costs(
    people: Sequence[Tracklet], fps: float, config: LinkConfig
) -> Float[np.ndarray, "people people"]:
    """Return the symmetric costs of colors; impossible for people who are seen at the same time."""
    identity = config.identity
    described = [describe(person, fps, identity) for person in people]
    cost = np.full((len(people), len(people)), IMPOSSIBLE)
    for row, one in enumerate(described):
        for column, other in enumerate(described[:row]):
            if min(one.count, other.count) < config.return_detections:
                continue
            if one.positions & other.positions:
                continue
            value = color_cost(one.colors, other.colors, identity.color_noise, identity)
            cost[row, column] = cost[column, row] = value
    return cost


def _without_flips(person: Tracklet, config: FlipConfig) -> Tracklet:
    positions = sorted(person)
    detections = correct_flips([person[position] for position in positions], config)
    return dict(zip(positions, detections, strict=True))
