"""Main performer: the person whom a clip is about."""

import numpy as np
from jaxtyping import Bool, Float


def main_performer(
    keypoints: list[Float[np.ndarray, "frames keypoints 3"]],
    present: list[Bool[np.ndarray, " frames"]],
) -> int:
    """Return the index of the person with the most presence × size × confidence.

    Summed over the frames: mean confidence of the keypoints times the diagonal of their bounding
    box. The first of equal ones.

    Args:
        keypoints: of each person, px and confidence.
        present: frames in which the person is in view.
    """
    return int(np.argmax([_prominence(k[p]) for k, p in zip(keypoints, present, strict=True)]))


def _prominence(keypoints: Float[np.ndarray, "frames keypoints 3"]) -> float:
    sizes = np.linalg.norm(np.ptp(keypoints[..., :2], axis=1), axis=-1)
    return float((keypoints[..., 2].mean(axis=1) * sizes).sum())
