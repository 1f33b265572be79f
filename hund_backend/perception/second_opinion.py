"""Second opinion: the pose of a doubtful person by another network.

The landmark network was trained on crops that are rotated with the body and is lost in others,
which its quality does not always tell. MoveNet was trained on people in any pose in upright crops.
Their errors differ, so that a landmark detection which the other network supports is more often
right.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..body.skeleton import BLAZEPOSE_NAMES, KEYPOINT_NAMES
from .coco_detector import CocoDetector, CocoPoses
from .coco_pose import LIMBS, crops_around_hips, trunk_angles
from .crop_detector import MAX_RESIZE, Detection
from .crops import crop_around_points, rotated_crops, varied_crops

COCO_POINTS = np.array([BLAZEPOSE_NAMES.index(name) for name in KEYPOINT_NAMES["coco"]])
MAX_SHIFT = 0.25  # sides of the crop between its center and that of a person who is meant by it
QUALITY_WEIGHT = 0.5  # of the landmark network's own quality beside the support
SUPPORT_SCALE = 0.1  # extents of the person at which a vote counts a quarter


@dataclass(frozen=True, kw_only=True)
class OpinionConfig:
    """Crops of the second network."""

    num_rotations: int = 4  # over the full circle
    sizes: tuple[float, ...] = (0.8,)  # over the crop that it is asked for
    num_varied: int = 1  # around its own best pose, up to seven


@dataclass(frozen=True, kw_only=True)
class SecondOpinion:
    """Poses of one person by the second network, from several crops."""

    rotated: CocoPoses  # they vote
    varied: CocoPoses  # from crops around the best of those
    asked: Float[np.ndarray, "4"]  # crop around the person who is meant

    @property
    def keypoints(self) -> Float[np.ndarray, "17 2"]:
        """Median over the poses of the varied crops, px of the frame."""
        return np.median(self.varied.keypoints, axis=0)

    @property
    def crop(self) -> Float[np.ndarray, "4"]:
        """The landmark network's crop for this pose."""
        return _limited(crops_around_hips(self.keypoints), self.asked)

    @property
    def of_same_person(self) -> bool:
        """Whether the pose lies in the middle of the crop, so that it is of its person."""
        middle = (self.keypoints.min(axis=0) + self.keypoints.max(axis=0)) / 2
        return bool(np.linalg.norm(middle - self.asked[:2]) < MAX_SHIFT * self.asked[2])

    def support(self, detection: Detection) -> float:
        """Return the share of the second network's votes that a detection gets, 0…1.

        The pose of every rotated crop votes for each joint of the limbs with its squared score. A vote counts fully
        where the detection has that joint in the same place.
        """
        extent = float(np.ptp(self.keypoints, axis=0).max())
        offsets = self.rotated.keypoints[:, LIMBS] - detection.points[COCO_POINTS[LIMBS]]
        distance = np.linalg.norm(offsets, axis=-1) / (SUPPORT_SCALE * max(extent, 1e-9))
        votes = self.rotated.scores[:, LIMBS] ** 2 + 1e-9
        agreement = (votes * (1 + distance**2) ** -2).sum(axis=0) / votes.sum(axis=0)
        return float(agreement.mean())

    def rating(self, detection: Detection) -> float:
        """Return how much speaks for a detection: its support and some of its own quality."""
        return self.support(detection) + QUALITY_WEIGHT * detection.quality


def second_opinion(
    detector: CocoDetector, crop: Float[np.ndarray, "4"], config: OpinionConfig
) -> SecondOpinion:
    """Detect a person by the second network: rotated crops, then varied crops around the best.

    Args:
        detector: of the frame.
        crop: with the whole person, at any angle.
        config: see OpinionConfig.
    """
    rotated = detector(rotated_crops(crop, config.sizes, config.num_rotations))
    best = rotated.keypoints[int(rotated.scores[:, LIMBS].mean(axis=1).argmax())]
    around = _limited(crop_around_points(best, float(trunk_angles(best))), crop)
    varied = detector(varied_crops(around)[: config.num_varied])
    return SecondOpinion(rotated=rotated, varied=varied, asked=crop)


def _limited(crop: Float[np.ndarray, "4"], other: Float[np.ndarray, "4"]) -> np.ndarray:
    """Return a crop whose size is not too far from another's: the pose may have collapsed."""
    side = np.clip(crop[2], other[2] / MAX_RESIZE, other[2] * MAX_RESIZE)
    return np.array([*crop[:2], side, crop[3]])
