"""Search for the crop in which the landmark network detects a person best."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from .coco_detector import CocoDetector
from .coco_pose import crops_around_hips
from .crop_detector import NUM_KEYPOINTS, CropDetector, Detection
from .crops import crop_around_boxes, rotated_crops, varied_crops
from .person_detector import PersonBoxes
from .second_opinion import OpinionConfig, SecondOpinion, second_opinion

BOX_MARGIN = 1.6  # side of a crop over a detected box; 1.25 loses people who are not upright

ROBUST_ITERATIONS = 5
DISAGREEMENT_SCALE = 0.04  # of the crop's side: distance at which two keypoints contradict
MIN_CONFIDENCE = 0.01  # added to every keypoint's, so that no mean is undefined


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Effort of a search."""

    sufficient_quality: float  # below it the second network is asked
    rotation_quality: float  # below it, with the second network's crop, all rotations are tried
    scales: tuple[float, ...] = (1.0,)  # of the crops that are rotated
    num_rotations: int = 8  # over the full circle
    opinion: OpinionConfig = field(default_factory=OpinionConfig)
    num_refined: int = 1  # best detections that are repeated in their next crops
    num_refinements: int = 1  # how often


QUICK = SearchConfig(sufficient_quality=0.6, rotation_quality=0.5)
THOROUGH = SearchConfig(
    sufficient_quality=0.8,
    rotation_quality=0.65,
    scales=(1.0, 0.8, 1.25),
    opinion=OpinionConfig(num_rotations=8, sizes=(1.0, 0.75), num_varied=7),
    num_refined=3,
    num_refinements=2,
)
"""For single images, where no later frame can correct a bad crop."""


def initial_crops(people: PersonBoxes) -> Float[np.ndarray, "people 2 4"]:
    """Return two crops for each detected person: around the hips and around the box.

    Both are rotated with the trunk. The first contains the keypoints and a margin.
    """
    around_hips = crops_around_hips(people.keypoints.astype(float))
    around_box = crop_around_boxes(people.boxes.astype(float), BOX_MARGIN)
    around_box[:, 3] = around_hips[:, 3]
    return np.stack((around_hips, around_box), axis=1)


def search(
    detector: CropDetector,
    second: CocoDetector,
    crops: Float[np.ndarray, "crops 4"],
    config: SearchConfig = QUICK,
) -> Detection:
    """Return the best detection of the person in some crops.

    The landmark network expects the head on top, so people who are not upright are lost in an
    upright crop. Where the given crops do not show the person well, the second network, which does
    not mind, gives another one, and the detection that it rates best is kept. If the quality (mean
    peak of the limbs' heat maps) stays low, rotations and scales of the last crop are tried, too.

    Args:
        detector: of the frame.
        second: the same by the second network.
        crops: around one person; the last contains the whole person.
        config: see SearchConfig.
    """
    detections = detector(crops)
    best = refine_crops(detector, detections, config)
    if best.quality >= config.sufficient_quality:
        return best
    opinion = second_opinion(second, crops[-1], config.opinion)
    if not opinion.of_same_person:
        return _search_rotations(detector, [best], crops[-1], config)
    other = refine_crops(detector, detector(opinion.crop[None]), config)
    chosen = _rated_best([best, other], opinion)
    if chosen.quality >= config.rotation_quality:
        return chosen
    rotated = _search_rotations(detector, [best, other], crops[-1], config)
    return _rated_best([best, other, rotated], opinion)


def _search_rotations(
    detector: CropDetector,
    detections: Sequence[Detection],
    crop: Float[np.ndarray, "4"],
    config: SearchConfig,
) -> Detection:
    """Return the detection of the best quality in rotations and scales of a crop, or before."""
    upright = crop * (1, 1, 1, 0)
    rotated = detector(rotated_crops(upright, config.scales, config.num_rotations))
    return refine_crops(detector, [*detections, *rotated], config)


def _rated_best(detections: Sequence[Detection], opinion: SecondOpinion) -> Detection:
    """Return the detection that the second opinion rates best.

    It gets the quality of the best one, which tells people from things: who is somebody by one
    crop stays so.
    """
    best, chosen = max(detections, key=_quality), max(detections, key=opinion.rating)
    return replace(chosen, quality=best.quality, quality_inside=best.quality_inside)


def refine_crops(
    detector: CropDetector, detections: Sequence[Detection], config: SearchConfig = QUICK
) -> Detection:
    """Repeat the best detections in their next crops; return the best of all."""
    best = sorted(detections, key=_quality, reverse=True)[: config.num_refined]
    for _ in range(config.num_refinements):
        again = detector(np.stack([detection.next_crop for detection in best]))
        best = sorted([*best, *again], key=_quality, reverse=True)[: config.num_refined]
    return best[0]


def average_over_crops(detector: CropDetector, best: Detection) -> Detection:
    """Return the mean of a detection and of others in varied crops, plain and mirrored.

    The landmarks move with the crop more than they should, in directions that average out (on 200
    sports images the joints within half a head rise from 79 to 81 %).
    """
    crops = varied_crops(best.next_crop)
    return robust_mean([best, *detector(crops), *detector(crops, mirrored=True)])


def robust_mean(detections: Sequence[Detection]) -> Detection:
    """Return the robust mean of detections of one person in one frame.

    A keypoint far from that of most detections loses its weight (Geman and McClure), and where the
    detections disagree the confidence falls. Crop, mask, colors and features are the first's.
    """
    first = detections[0]
    points = np.stack([detection.points[:NUM_KEYPOINTS] for detection in detections])
    confidence = np.stack([detection.confidence for detection in detections])
    world = np.stack([detection.world_landmarks for detection in detections])
    center = np.median(points, axis=0)
    for _ in range(ROBUST_ITERATIONS):
        distance = np.linalg.norm(points - center, axis=-1) / (DISAGREEMENT_SCALE * first.crop[2])
        agreement = (1 + distance**2) ** -2
        weights = (agreement * (confidence + MIN_CONFIDENCE) ** 2)[..., None]
        center = (weights * points).sum(axis=0) / weights.sum(axis=0)
    return replace(
        first,
        points=np.concatenate((center, first.points[NUM_KEYPOINTS:])),
        world_landmarks=(weights * world).sum(axis=0) / weights.sum(axis=0),
        confidence=(agreement * confidence).mean(axis=0),
    )


def _quality(detection: Detection) -> float:
    return detection.quality
