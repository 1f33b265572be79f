"""Importance: whom to follow where there are more people than may be followed.

The larger and the livelier of the people in view. How lively somebody is, the person detector
tells for everybody: by how much the keypoints move from one look at the whole frame to the next.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float32

from .person_detector import PersonBoxes
from .tracks import box_iou

HALF_MOTION = 0.08  # of the keypoints, sides of the box, at which motion counts half
STILL_SHARE = 0.1  # of the importance of somebody who does not move
GAIN = 0.5  # share of a new look in the running mean
MIN_IOU = 0.2  # of the boxes of one person in two looks
UNKNOWN = 0.03  # motion of somebody who is seen for the first time: the detector's noise


@dataclass(eq=False)
class _Candidate:
    box: Float[np.ndarray, "4"]
    keypoints: Float32[np.ndarray, "17 2"]
    motion: float = UNKNOWN


@dataclass(eq=False)
class Importance:
    """Remembers how lively people are, from one look at the whole frame to the next."""

    _candidates: list[_Candidate] = field(default_factory=list)

    def look(self, people: PersonBoxes) -> None:
        """Take in the people detected in the whole frame."""
        candidates = []
        for box, keypoints in zip(people.boxes.astype(float), people.keypoints, strict=True):
            before = self._nearest(box)
            candidate = _Candidate(box=box, keypoints=keypoints)
            if before is not None:
                step = np.linalg.norm(keypoints - before.keypoints, axis=-1).mean()
                motion = float(step) / max(side_of(box), 1.0)
                candidate.motion = before.motion + GAIN * (motion - before.motion)
            candidates.append(candidate)
        self._candidates = candidates

    def of(self, box: Float[np.ndarray, "4"]) -> float:
        """Return the importance of the person in a box: size, more for who moves."""
        nearest = self._nearest(box)
        motion = UNKNOWN if nearest is None else nearest.motion
        lively = motion**2 / (motion**2 + HALF_MOTION**2)  # the detector's noise counts little
        return side_of(box) * (STILL_SHARE + (1 - STILL_SHARE) * lively)

    def _nearest(self, box: Float[np.ndarray, "4"]) -> _Candidate | None:
        overlaps = [box_iou(box, candidate.box) for candidate in self._candidates]
        best = int(np.argmax(overlaps)) if overlaps else 0
        return self._candidates[best] if overlaps and overlaps[best] > MIN_IOU else None


def side_of(box: Float[np.ndarray, "4"]) -> float:
    """Return the longer side of a box x0, y0, x1, y1."""
    return float((box[2:] - box[:2]).max())
