"""Tracks: one person followed from sighting to sighting, and which sighting belongs to whom."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from hund_backend.perception.crop_detector import HIP, NUM_KEYPOINTS, Sighting

COLOR_BLEND = 0.1  # share of a new sighting in the running mean of a track's colors


@dataclass(frozen=True, kw_only=True)
class FollowConfig:
    """How a crop follows its person and how a sighting finds its track."""

    shift_gain: float = 0.6  # share of a small displacement that the crop's center takes over
    size_gain: float = 0.2  # the same of side and turn: landmarks jump when the crop breathes
    large_shift: float = 0.08  # displacement in sides from which the crop follows at once
    large_growth: float = 0.15  # change of the logarithm of the side from which it does
    large_turn: float = 0.35  # radians
    most_growth: float = 0.26  # change of the logarithm of the side in one frame
    drag: float = 0.85  # share of its speed that an unseen person keeps from frame to frame
    spread: float = 0.08  # error of a keypoint, in crop sides, that makes it 60 % the same
    color_spread: float = 30.0  # the same for the colors of two people
    same_person: float = 0.35  # keypoint similarity from which two sightings show one person
    doubtful: float = 0.6  # quality of a sighting that may be a wrong reading of somebody else
    shadowed: float = 0.1  # by which that person's own sighting is better
    same_place: float = 0.4  # overlap of their boxes
    least_similarity: float = 0.1  # with which a sighting may continue a track


class CropFilter:
    """Predicts the next crop of a person who moves at an even speed (an alpha-beta filter).

    Small displacements are mostly the network's own unrest and are damped; large ones are followed
    at once, so that the person is not lost.
    """

    def __init__(self, crop: Float[np.ndarray, "4"], config: FollowConfig) -> None:
        self.config = config
        self.center, self.speed = crop[:2].copy(), np.zeros(2)  # px, px per frame
        self.log_side, self.turn = float(np.log(crop[2])), float(crop[3])

    @property
    def crop(self) -> Float[np.ndarray, "4"]:
        """The crop where the person is thought to be."""
        return np.array([*self.center, np.exp(self.log_side), self.turn])

    @property
    def crop_ahead(self) -> Float[np.ndarray, "4"]:
        """The crop where the person is thought to be a frame later."""
        return self.crop + np.array((*self.speed, 0, 0))

    def step(self) -> None:
        """Go on by one frame at the present speed."""
        self.center = self.center + self.speed

    def brake(self) -> None:
        """Slow down: the person was not seen."""
        self.speed = self.speed * self.config.drag

    def correct(self, crop: Float[np.ndarray, "4"]) -> None:
        """Take in the crop that a sighting asks for."""
        config = self.config
        shift = crop[:2] - self.center
        distance = float(np.linalg.norm(shift)) / np.exp(self.log_side)
        gain = _gain(distance / config.large_shift, config.shift_gain)
        self.center = self.center + gain * shift
        self.speed = self.speed + gain**2 / (2 - gain) * shift
        most = config.most_growth
        growth = float(np.clip(np.log(crop[2]) - self.log_side, -most, most))
        self.log_side += _gain(growth / config.large_growth, config.size_gain) * growth
        turn = float((crop[3] - self.turn + np.pi) % (2 * np.pi) - np.pi)
        self.turn += _gain(turn / config.large_turn, config.size_gain) * turn


def _gain(change: float, gain: float) -> float:
    """Share of a change to follow: `gain` of small ones, all of those from 1 on."""
    return min(1.0, gain + (1 - gain) * change**2)


@dataclass(eq=False)
class Track:
    """One person's sightings so far."""

    filter: CropFilter
    sightings: dict[int, Sighting] = field(default_factory=dict)  # by position, ascending
    colors: Float[np.ndarray, "segments 3"] | None = None  # running mean
    missed: int = 0  # frames since the last sighting
    next_search: int = 0  # position from which another search may be tried
    search_wait: int = 0  # frames from a vain search to the next

    @classmethod
    def begin(cls, position: int, sighting: Sighting, config: FollowConfig) -> "Track":
        """A track of one sighting."""
        track = cls(filter=CropFilter(sighting.wanted_crop, config))
        track.add(position, sighting)
        return track

    @property
    def last(self) -> Sighting:
        """The latest sighting."""
        return self.sightings[next(reversed(self.sightings))]

    @property
    def expected(self) -> Float[np.ndarray, "33 2"]:
        """The latest keypoints, moved on with the crop."""
        last = self.last
        return last.points[:NUM_KEYPOINTS] + (self.filter.center - last.points[HIP])

    @property
    def expected_box(self) -> Float[np.ndarray, "4"]:
        """Box x0, y0, x1, y1 of the expected keypoints."""
        expected = self.expected
        return np.concatenate((expected.min(axis=0), expected.max(axis=0)))

    def add(self, position: int, sighting: Sighting) -> None:
        """Continue with a sighting."""
        if self.colors is None:
            self.colors = sighting.colors
        self.colors = self.colors + COLOR_BLEND * (sighting.colors - self.colors)
        self.sightings[position] = sighting
        self.filter.correct(sighting.wanted_crop)
        self.missed = 0

    def miss(self) -> None:
        """Go on without a sighting."""
        self.filter.brake()
        self.missed += 1


def keypoint_similarity(
    points: Float[np.ndarray, "33 2"], sighting: Sighting, spread: float
) -> float:
    """How alike keypoints are, 0…1: COCO's object keypoint similarity with one spread for all.

    Args:
        points: keypoints to compare with, px.
        sighting: its keypoints count by their confidence.
        spread: distance, in sides of the crop, at which a keypoint counts 60 %.
    """
    distance = np.linalg.norm(points - sighting.points[:NUM_KEYPOINTS], axis=-1)
    likeness = np.exp(-0.5 * (distance / (spread * sighting.crop[2])) ** 2)
    weights = sighting.confidence + 1e-3
    return float((weights * likeness).sum() / weights.sum())


def box_overlap(box: Float[np.ndarray, "4"], other: Float[np.ndarray, "4"]) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1."""
    common = (np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])).clip(0).prod()
    areas = (box[2:] - box[:2]).prod() + (other[2:] - other[:2]).prod()
    return float(common / max(areas - common, 1e-9))


def likeness(track: Track, sighting: Sighting, config: FollowConfig) -> float:
    """How well a sighting continues a track, 0…1: keypoints, box and colors.

    The longer a person was not seen, the less is known of where he is and how he stands.
    """
    spread = config.spread * np.sqrt(1 + track.missed)
    keypoints = keypoint_similarity(track.expected, sighting, spread)
    place = 0.5 * (keypoints + box_overlap(track.expected_box, sighting.box))
    difference = np.linalg.norm(track.colors - sighting.colors, axis=-1).mean()
    return place * float(np.exp(-0.5 * (difference / config.color_spread) ** 2))


def distinct(sightings: Sequence[Sighting], config: FollowConfig) -> list[int]:
    """Indices of sightings that show different people: of those of one person the best stays."""
    kept: list[int] = []
    for index in sorted(range(len(sightings)), key=lambda i: -sightings[i].quality):
        others = (sightings[other] for other in kept)
        if not any(is_same(sightings[index], other, config) for other in others):
            kept.append(index)
    return sorted(kept)


def is_same(sighting: Sighting, other: Sighting, config: FollowConfig) -> bool:
    """Whether two sightings in one frame show one person.

    Their keypoints agree, or one sighting is doubtful and in the place of a much better one.
    """
    points = other.points[:NUM_KEYPOINTS]
    if keypoint_similarity(points, sighting, config.spread / 2) > config.same_person:
        return True
    worse, better = sorted((sighting.quality, other.quality))
    doubtful = worse < config.doubtful and better - worse > config.shadowed
    return doubtful and box_overlap(sighting.box, other.box) > config.same_place


def match(
    tracks: Sequence[Track], sightings: Sequence[Sighting], config: FollowConfig
) -> list[tuple[int, int]]:
    """Pairs (track, sighting) with the greatest likeness in all; unlikely ones are left apart."""
    table = np.array([[likeness(t, s, config) for s in sightings] for t in tracks])
    if not table.size:
        return []
    rows, columns = linear_sum_assignment(-table)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if table[row, column] > config.least_similarity]
