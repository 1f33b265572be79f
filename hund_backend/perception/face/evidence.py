"""Face evidence: what is seen of the face of one person over time."""

import enum
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

NUM_LANDMARKS = 478  # MediaPipe's face mesh (468), then 5 points of each iris
NUM_ARKIT = 52


class FaceState(enum.IntEnum):
    """Why a face is seen in a frame or not."""

    SEEN = 0
    NO_BODY = 1  # the person is not detected
    TURNED_AWAY = 2  # a profile or the back of the head
    TOO_SMALL = 3
    NOT_FOUND = 4  # covered, dark, blurred, cut off by the frame


@dataclass(frozen=True, kw_only=True)
class FaceEvidence:
    """The face of one person; the rows are those of `Evidence.frames`.

    In frames in which no face is seen `observed` is False, the confidence is zero and the other
    values are interpolated, so that no array ever holds a NaN. Those of a face that is never seen
    are zeros, but for crops, whose side is 1.
    """

    observed: Bool[np.ndarray, " frames"]
    landmarks: Float[np.ndarray, "frames 478 3"]
    """x, y in px of the full frame; z in px of the same scale, away from the camera, from the
    network's own origin in the middle of the head."""
    confidence: Float[np.ndarray, " frames"]  # 0…1
    arkit: Float[np.ndarray, "frames 52"]
    """Weak evidence: coefficients 0…1 of the blend shape network, in the order of the body's ARKit
    keys; the last, tongueOut, is not known to the network and zero."""
    crops: Float[np.ndarray, "frames 4"]
    """Square around the face: center x, center y, side in px; angle in radians, see crops.py."""
    states: UInt8[np.ndarray, " frames"]  # FaceState
    visibility: Float[np.ndarray, "frames 2"]
    """How well eyes and mouth are seen, 0…1: behind a mask a mouth is not, though the network
    points at one. Zero in frames in which no face is seen."""

    def select(
        self, rows: Int[np.ndarray, " rows"] | Bool[np.ndarray, " frames"]
    ) -> "FaceEvidence":
        """Return the face in some of the frames, in the given order."""
        return FaceEvidence(
            **{field.name: getattr(self, field.name)[rows] for field in fields(self)}
        )
