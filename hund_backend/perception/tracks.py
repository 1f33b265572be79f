"""Tracks: detections of one person over time, and the assignment of detections to tracks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from .crop_detector import HIP, NUM_KEYPOINTS, Detection

COLOR_GAIN = 0.1  # share of a new detection in the running mean of a track's colors


@dataclass(frozen=True, kw_only=True)
class CropFilterConfig:
    """Gains of the crop filter."""

    shift_gain: float = 0.6  # share of a small displacement that the crop's center follows
    size_gain: float = 0.2  # the same of side and angle: landmarks move when the crop changes
    large_shift: float = 0.08  # displacement in sides that the crop follows entirely
    large_growth: float = 0.15  # change of the logarithm of the side that it follows entirely
    large_rotation: float = 0.35  # radians that it follows entirely
    max_growth: float = 0.26  # change of the logarithm of the side in one frame
    velocity_decay: float = 0.85  # factor of the velocity in each frame without a detection


@dataclass(frozen=True, kw_only=True)
class MatchConfig:
    """Thresholds for detections of the same person."""

    keypoint_sigma: float = 0.08  # crop sides between two keypoints of a similarity of 0.6
    color_sigma: float = 30.0  # the same for the colors of two people
    same_person_similarity: float = 0.35  # of the keypoints of two detections of one person
    doubtful_quality: float = 0.6  # below which a detection may be a wrong one of somebody else
    quality_gap: float = 0.1  # by which that person's own detection is better
    same_person_iou: float = 0.4  # of their boxes
    min_similarity: float = 0.1  # of a track and the detection that continues it


class CropFilter:
    """Alpha-beta filter that predicts the next crop of a person, at constant velocity.

    Small displacements are mostly noise of the network and are damped. Large ones are followed
    entirely, so that the person is not lost.
    """

    def __init__(self, crop: Float[np.ndarray, "4"], config: CropFilterConfig) -> None:
        self.config = config
        self.center, self.velocity = crop[:2].copy(), np.zeros(2)  # px, px per frame
        self.log_side, self.angle = float(np.log(crop[2])), float(crop[3])

    @property
    def crop(self) -> Float[np.ndarray, "4"]:
        """The crop at the current frame."""
        return np.array([*self.center, np.exp(self.log_side), self.angle])

    @property
    def next_crop(self) -> Float[np.ndarray, "4"]:
        """The crop one frame later."""
        return self.crop + np.array((*self.velocity, 0, 0))

    def predict(self) -> None:
        """Move the crop on by one frame."""
        self.center = self.center + self.velocity

    def damp(self) -> None:
        """Reduce the velocity after a frame without a detection."""
        self.velocity = self.velocity * self.config.velocity_decay

    def update(self, crop: Float[np.ndarray, "4"], steps: int = 1) -> None:
        """Correct the crop by that of a detection.

        Args:
            crop: of the detection.
            steps: frames since the detection before; the error of the velocity has added up.
        """
        config = self.config
        shift = crop[:2] - self.center
        distance = float(np.linalg.norm(shift)) / np.exp(self.log_side)
        gain = _gain(distance / config.large_shift, config.shift_gain)
        self.center = self.center + gain * shift
        self.velocity = self.velocity + gain**2 / (2 - gain) * shift / steps
        limit = config.max_growth
        growth = float(np.clip(np.log(crop[2]) - self.log_side, -limit, limit))
        self.log_side += _gain(growth / config.large_growth, config.size_gain) * growth
        rotation = float((crop[3] - self.angle + np.pi) % (2 * np.pi) - np.pi)
        self.angle += _gain(rotation / config.large_rotation, config.size_gain) * rotation


def _gain(change: float, gain: float) -> float:
    """Return the share of a change to follow: `gain` for small ones, 1 for 1 or more."""
    return min(1.0, gain + (1 - gain) * change**2)


@dataclass(eq=False)
class Track:
    """Detections of one person up to now."""

    filter: CropFilter
    detections: dict[int, Detection] = field(default_factory=dict)  # by position, ascending
    colors: Float[np.ndarray, "segments 3"] | None = None  # running mean
    num_missed: int = 0  # frames since the last detection
    next_search: int = 0  # position from which another search is allowed
    search_wait: int = 0  # frames from a failed search to the next

    @classmethod
    def begin(cls, position: int, detection: Detection, config: CropFilterConfig) -> "Track":
        """Begin a track with one detection."""
        track = cls(filter=CropFilter(detection.next_crop, config))
        track.add(position, detection)
        return track

    @property
    def last(self) -> Detection:
        """The latest detection."""
        return self.detections[next(reversed(self.detections))]

    @property
    def predicted_keypoints(self) -> Float[np.ndarray, "33 2"]:
        """The latest keypoints, moved on with the crop."""
        last = self.last
        return last.points[:NUM_KEYPOINTS] + (self.filter.center - last.points[HIP])

    @property
    def predicted_box(self) -> Float[np.ndarray, "4"]:
        """Box x0, y0, x1, y1 of the predicted keypoints."""
        keypoints = self.predicted_keypoints
        return np.concatenate((keypoints.min(axis=0), keypoints.max(axis=0)))

    def add(self, position: int, detection: Detection) -> None:
        """Continue the track with a detection."""
        if self.colors is None:
            self.colors = detection.colors
        self.colors = self.colors + COLOR_GAIN * (detection.colors - self.colors)
        self.detections[position] = detection
        self.filter.update(detection.next_crop, self.num_missed + 1)
        self.num_missed = 0

    def miss(self) -> None:
        """Continue the track without a detection."""
        self.filter.damp()
        self.num_missed += 1


def keypoint_similarity(
    points: Float[np.ndarray, "33 2"], detection: Detection, sigma: float
) -> float:
    """Return the object keypoint similarity (COCO's, one sigma for all keypoints), 0…1.

    Args:
        points: keypoints to compare with, px.
        detection: its keypoints are weighted by their confidence.
        sigma: distance, in sides of the crop, for a similarity of 0.6.
    """
    distance = np.linalg.norm(points - detection.points[:NUM_KEYPOINTS], axis=-1)
    similarities = np.exp(-0.5 * (distance / (sigma * detection.crop[2])) ** 2)
    weights = detection.confidence + 1e-3
    return float((weights * similarities).sum() / weights.sum())


def box_iou(box: Float[np.ndarray, "4"], other: Float[np.ndarray, "4"]) -> float:
    """Return the intersection over union of two boxes x0, y0, x1, y1.

    Example:
        >>> box_iou(np.array([0.0, 0, 2, 2]), np.array([0.0, 0, 2, 1]))
        0.5
    """
    common = (np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])).clip(0).prod()
    areas = (box[2:] - box[:2]).prod() + (other[2:] - other[:2]).prod()
    return float(common / max(areas - common, 1e-9))


def track_similarity(track: Track, detection: Detection, config: MatchConfig) -> float:
    """Return the similarity of a detection to a track in keypoints, box and colors, 0…1.

    The more frames the track has missed, the less exact its prediction and the larger the sigma.
    """
    sigma = config.keypoint_sigma * np.sqrt(1 + track.num_missed)
    keypoints = keypoint_similarity(track.predicted_keypoints, detection, sigma)
    place = 0.5 * (keypoints + box_iou(track.predicted_box, detection.box))
    color_distance = np.linalg.norm(track.colors - detection.colors, axis=-1).mean()
    return place * float(np.exp(-0.5 * (color_distance / config.color_sigma) ** 2))


def unique_people(detections: Sequence[Detection], config: MatchConfig) -> list[int]:
    """Return the indices of the best detection of each person, ascending."""
    kept: list[int] = []
    for index in sorted(range(len(detections)), key=lambda i: -detections[i].quality):
        others = (detections[other] for other in kept)
        if not any(is_same_person(detections[index], other, config) for other in others):
            kept.append(index)
    return sorted(kept)


def is_same_person(detection: Detection, other: Detection, config: MatchConfig) -> bool:
    """Return whether two detections in one frame show the same person.

    Their keypoints agree, or one is doubtful and overlaps a much better one.
    """
    points = other.points[:NUM_KEYPOINTS]
    similarity = keypoint_similarity(points, detection, config.keypoint_sigma / 2)
    if similarity > config.same_person_similarity:
        return True
    worse, better = sorted((detection.quality, other.quality))
    doubtful = worse < config.doubtful_quality and better - worse > config.quality_gap
    return doubtful and box_iou(detection.box, other.box) > config.same_person_iou


def match_detections(
    tracks: Sequence[Track], detections: Sequence[Detection], config: MatchConfig
) -> list[tuple[int, int]]:
    """Assign detections to tracks with the largest total similarity (Hungarian method).

    Returns:
        Pairs (track, detection) of indices; those below `min_similarity` are left out.
    """
    table = np.array([[track_similarity(t, d, config) for d in detections] for t in tracks])
    if not table.size:
        return []
    rows, columns = linear_sum_assignment(-table)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if table[row, column] > config.min_similarity]
