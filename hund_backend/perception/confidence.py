"""Confidence: the probability that a keypoint is where the network says, from what it says."""

import numpy as np
from jaxtyping import Float, Shaped
from scipy.special import expit, logit

PEAK_RANGE = 0.02, 0.98


def keypoint_confidence(
    peaks: Shaped[np.ndarray, "crops points"],
    visibility: Shaped[np.ndarray, "crops points"],
    in_crop: Float[np.ndarray, "crops points 2"],
    in_frame: Float[np.ndarray, "crops points 2"],
) -> Float[np.ndarray, "crops points"]:
    """Probability."""
    outside = np.maximum(-in_frame, in_frame - 1).max(axis=-1).clip(0)
    value = 1.5 * logit(np.clip(peaks, *PEAK_RANGE)) + 0.3 * logit(
        np.clip(visibility, *PEAK_RANGE)
    )
    return expit(value - 1 - 200 * outside)
