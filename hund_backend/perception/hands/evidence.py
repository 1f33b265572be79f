"""Hand evidence: what is seen of both hands of one person over time."""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int

SIDES = ("left", "right")  # order of the hands, the person's own left first
NUM_HAND_POINTS = 21  # MediaPipe's hand landmarks: wrist, then thumb to little finger, base to tip


@dataclass(frozen=True, kw_only=True)
class HandEvidence:
    """Both hands of one person; the rows are those of `Evidence.frames`.

    The second axis is the hand, left and right as in `SIDES`. In frames in which a hand is not
    found `observed` is False, confidences are zero and the other values are interpolated, so that
    no array ever holds a NaN. Those of a hand that is never found are zeros, but for crops, whose
    side is 1.
    """

    observed: Bool[np.ndarray, "frames 2"]
    keypoints: Float[np.ndarray, "frames 2 21 3"]
    """x, y in px of the full frame, confidence 0…1; order of MediaPipe's hand landmarks."""
    world_landmarks: Float[np.ndarray, "frames 2 21 3"]
    """Weak 3D evidence: metres from the network's own center of the hand, axes of the full frame's
    camera (x right, y down, z forward), as `Evidence.world_landmarks`."""
    crops: Float[np.ndarray, "frames 2 4"]
    """Square around the hand: center x, center y, side in px; angle in radians, see crops.py."""
    features: Float[np.ndarray, "frames 2 features"] | None = None
    """Pooled inner features of the hand network."""

    def select(
        self, rows: Int[np.ndarray, " rows"] | Bool[np.ndarray, " frames"]
    ) -> "HandEvidence":
        """Return the hands in some of the frames, in the given order."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return HandEvidence(**{n: None if v is None else v[rows] for n, v in values.items()})
