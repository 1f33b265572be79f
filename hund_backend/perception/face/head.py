"""Head: the crop of a face and its direction, from the body's keypoints."""

import numpy as np
from jaxtyping import Float

from ...body.skeleton import BLAZEPOSE_NAMES
from ..crops import crop_around_points
from ..evidence import Evidence

_INDEX = {name: number for number, name in enumerate(BLAZEPOSE_NAMES)}
NOSE = _INDEX["nose"]
EARS = [_INDEX["left_ear"], _INDEX["right_ear"]]
_EYES = [_INDEX["left_eye"], _INDEX["right_eye"]]
_MOUTH = [_INDEX["mouth_left"], _INDEX["mouth_right"]]
# Side of a face's crop over two distances of a head; the larger of the two counts, since one
# shrinks as the head turns, the other as it nods.
_SIDE_OVER_EARS, _SIDE_OVER_EYES_TO_MOUTH = 1.8, 3.7
MARGIN = 1.5  # side of a crop over the extent of the landmarks, as the network was trained
# The mesh's outer corners of the right and the left eye; the line between them is level in a crop.
_EYE_CORNERS = (33, 263)


def head_crop(keypoints: Float[np.ndarray, "33 3"]) -> Float[np.ndarray, "4"]:
    """Return the crop of the face that the body's keypoints promise, upright along the face.

    Args:
        keypoints: BlazePose's, px of the frame.
    """
    points = keypoints[:, :2]
    eyes, mouth = points[_EYES].mean(axis=0), points[_MOUTH].mean(axis=0)
    upward = eyes - mouth
    ears = float(np.linalg.norm(points[EARS[0]] - points[EARS[1]]))
    height = float(np.linalg.norm(upward))
    side = max(_SIDE_OVER_EARS * ears, _SIDE_OVER_EYES_TO_MOUTH * height, 1.0)
    angle = np.arctan2(upward[0], -upward[1]) if height > 0 else 0.0
    return np.array([*(eyes + mouth) / 2, side, angle])


def landmark_crop(landmarks: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "4"]:
    """Return the crop that fits landmarks (px of the frame) best, the eyes level."""
    points = landmarks[:, :2].astype(np.float64)
    right, left = points[list(_EYE_CORNERS)]
    across = left - right
    return crop_around_points(points, float(np.arctan2(across[1], across[0])), MARGIN)


def facing(evidence: Evidence) -> Float[np.ndarray, " frames"]:
    """Return how far the heads face the camera: 1 straight, 0 in profile, -1 from behind.

    It is the share of the nose's distance from between the ears that leads towards the camera.
    """
    landmarks = evidence.world_landmarks.astype(np.float64)
    forward = landmarks[:, NOSE] - landmarks[:, EARS].mean(axis=1)
    length = np.linalg.norm(forward, axis=-1)
    return -forward[:, 2] / np.maximum(length, 1e-9)
