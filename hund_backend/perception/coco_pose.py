"""COCO pose: the angle of the trunk and the landmark network's crop, from 17 keypoints."""

import numpy as np
from jaxtyping import Float

from .crops import CROP_MARGIN

NUM_COCO_KEYPOINTS = 17
SHOULDERS, HIPS = (5, 6), (11, 12)
LIMBS = slice(5, None)  # shoulders … ankles: all but the face
COCO_RADIUS_RATIO = 1.15  # radius of the whole body over that of COCO's keypoints


def trunk_angles(keypoints: Float[np.ndarray, "*batch 17 2"]) -> Float[np.ndarray, "*batch"]:
    """Return the angles of trunks from upright, radians, clockwise on screen.

    Args:
        keypoints: px of the frame.

    Example:
        A trunk whose shoulders lie to the right of the hips:

        >>> keypoints = np.zeros((17, 2))
        >>> keypoints[list(SHOULDERS)] = (1, 0)
        >>> float(trunk_angles(keypoints)) == np.pi / 2
        True
    """
    trunk = keypoints[..., SHOULDERS, :].mean(axis=-2) - keypoints[..., HIPS, :].mean(axis=-2)
    return np.asarray(np.arctan2(trunk[..., 0], -trunk[..., 1]))


def crops_around_hips(
    keypoints: Float[np.ndarray, "*batch 17 2"],
) -> Float[np.ndarray, "*batch 4"]:
    """Return crops around the hips, rotated with the trunks, with the whole bodies and a margin.

    Args:
        keypoints: px of the frame.
    """
    hips = keypoints[..., HIPS, :].mean(axis=-2)
    radius = np.linalg.norm(keypoints - hips[..., None, :], axis=-1).max(axis=-1)
    side = 2 * CROP_MARGIN * COCO_RADIUS_RATIO * radius
    angles = trunk_angles(keypoints)
    return np.concatenate((hips, side[..., None], angles[..., None]), axis=-1)
