"""Evidence: the detections of one person over time, the descent's only input from a clip."""

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from .crops import crop_from_image
from .face.evidence import FaceEvidence
from .hands.evidence import HandEvidence


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One person followed through consecutive frames of a clip (a track).

    Pixels are those of the full frame, x right, y down, center of the first pixel at (0.5, 0.5).
    In frames without a detection `observed` is False, confidences are zero and the other values
    are interpolated, so that no array ever holds a NaN.
    """

    track_id: int
    frames: Int[np.ndarray, " frames"]  # positions in the sequence of frames that were read
    observed: Bool[np.ndarray, " frames"]
    keypoints: Float[np.ndarray, "frames 33 3"]  # BlazePose's points: x, y in px, confidence 0…1
    world_landmarks: Float[np.ndarray, "frames 33 3"]
    """Weak 3D evidence: metres from the mid-hip, camera frame (x right, y down, z forward)."""
    crops: Float[np.ndarray, "frames 4"]
    """Square around the person: center x, center y, side in px; angle in radians, see crops.py."""
    intrinsics: Float[np.ndarray, "frames 3 3"]  # of the full frame, px
    masks: UInt8[np.ndarray, "frames 64 64"]  # silhouette probability of the crop times 255
    features: Float[np.ndarray, "frames 560"] | None = None
    """Pooled BlazePose features; None if left and right were swapped in every frame."""
    parts: UInt8[np.ndarray, "frames 3 64 64"] | None = None
    """Packed part maps of the crops, None if not requested; see packed_part_maps.py.

    Cell (row, column) has its center at (4 column + 2, 4 row + 2) px of the 256-px crop: the crop's
    camera for 64 px is `crop_intrinsics` with its first two rows divided by 4. A map is rotated
    with its crop. Frames without a detection repeat the map (and the mask) of the nearest frame
    that has one.
    """

    shots: Int[np.ndarray, " frames"] | None = None
    """Number of the shot of each frame, from 0; None: the clip is one shot.

    Nothing moves on from a shot to the next: whoever smooths or fills gaps does so within the runs
    of equal numbers.
    """
    static: float = 0.0  # confidence that this is a still figure: a poster, a mannequin, a screen
    confidence: float = 1.0  # that this is a person, 0…1
    hands: HandEvidence | None = None  # None: they were not looked for
    face: FaceEvidence | None = None  # None: it was not looked for

    @property
    def crop_intrinsics(self) -> Float[np.ndarray, "frames 3 3"]:
        """Intrinsics of the crops' cameras, px of a 256-px crop."""
        return crop_from_image(self.crops) @ self.intrinsics

    def shot_rows(self) -> list[Int[np.ndarray, " rows"]]:
        """Return the rows of the frames of each shot, in order."""
        rows = np.arange(len(self.frames))
        if self.shots is None:
            return [rows]
        return np.split(rows, np.flatnonzero(np.diff(self.shots)) + 1)

    def select(self, rows: Int[np.ndarray, " rows"]) -> "Evidence":
        """Return the evidence of some of the frames, in the given order."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: v[rows] for name, v in values.items() if isinstance(v, np.ndarray)}
        hands = None if self.hands is None else self.hands.select(rows)
        face = None if self.face is None else self.face.select(rows)
        return replace(self, **arrays, hands=hands, face=face)
