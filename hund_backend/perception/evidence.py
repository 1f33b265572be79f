"""Evidence: what the eyes saw of one person over time, the only thing the descent knows of a clip."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One person followed through consecutive frames of a clip (a track).

    Pixels are those of the full frame, x right, y down, centre of the first pixel at (0.5, 0.5).
    Frames in which the person was not seen are bridged: `observed` is False there, confidences are
    zero and the other values interpolated, so that no array ever holds a NaN.
    """

    track_id: int
    frames: Int[np.ndarray, " frames"]  # positions in the sequence of frames that were read
    observed: Bool[np.ndarray, " frames"]
    keypoints: Float[np.ndarray, "frames 33 3"]  # BlazePose's points: x, y in px, confidence 0…1
    world_landmarks: Float[np.ndarray, "frames 33 3"]
    """Weak 3D evidence: metres from the mid-hip, axes of the camera frame (x right, y down, z forward)."""
    crops: Float[np.ndarray, "frames 4"]
    """Square round the person: centre x, centre y, side in px; turn in radians, clockwise on screen."""
    crop_intrinsics: Float[np.ndarray, "frames 3 3"]  # camera of the crop, in px of a 256-px crop
    masks: UInt8[np.ndarray, "frames 64 64"]  # silhouette probability of the crop times 255
    features: Float[np.ndarray, "frames 560"] | None = None
    """What the keypoint network thought, averaged over its cells; none if no sighting is trusted in
    which side is left."""
    parts: UInt8[np.ndarray, "frames 3 64 64"] | None = None
    """Parts in the crop, if asked for; `part_maps.unpacked` makes probabilities of them.

    Cell (row, column) has its centre at (4 column + 2, 4 row + 2) px of the 256-px crop: the crop's
    camera for 64 px is `crop_intrinsics` with its first two rows divided by 4. Crops may be turned,
    and the map is turned with its crop. Not looked at where a frame was not observed: as masks,
    parts of the nearest frame that was stand there.
    """
