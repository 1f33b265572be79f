"""Confidence: the probability that a keypoint is where the network says, from what it says."""

import numpy as np
from jaxtyping import Float, Shaped
from scipy.special import expit, logit

CONSTANT = -1.66
PEAK_WEIGHT = 1.60
VISIBILITY_WEIGHT = 0.07
QUALITY_WEIGHT = 0.81


def keypoint_confidence(
    peaks: Shaped[np.ndarray, "crops points"],
    visibility: Shaped[np.ndarray, "crops points"],
    quality: Shaped[np.ndarray, " crops"],
) -> Float[np.ndarray, "crops points"]:
    """Probability that keypoints lie within 5 % of the person's extent of where they should.

    A logistic regression on the log-odds of what the network says, fitted by
    `tools/calibrate_confidence.py`: two people of the demo clip, every sixth frame, each crop
    degraded in eight ways (jitter, hidden by patches, cut off, blurred, turned, dark and noisy,
    tiny, all at once); right is a keypoint within 2.5 % of where the undegraded, averaged
    sightings see it. It is 2.5 % and not 5 % since those sightings err too; of 5, 3.5 and 2.5 %
    the last agreed best with labels of sports pictures. The network's `presence`, and how far a
    keypoint lies outside the frame or near the crop's border, told nothing beyond its peak
    (coefficients of zero): outside the frame 24 % are right and 21 % are expected.

    Args:
        peaks: highest value of each keypoint's heat map, 0…1.
        visibility: the network's own guess that the keypoint is not hidden, 0…1.
        quality: mean peak of the limbs' joints, 0…1.
    """
    terms = log_odds(peaks, visibility, quality)
    return expit(CONSTANT + terms @ (PEAK_WEIGHT, VISIBILITY_WEIGHT, QUALITY_WEIGHT))


def log_odds(
    peaks: Shaped[np.ndarray, "crops points"],
    visibility: Shaped[np.ndarray, "crops points"],
    quality: Shaped[np.ndarray, " crops"],
) -> Float[np.ndarray, "crops points 3"]:
    """The terms of the regression."""
    limits = ((peaks, 0.02), (visibility, 0.01), (quality[:, None], 0.05))  # no surer than that
    terms = [logit(np.clip(value.astype(float), limit, 1 - limit)) for value, limit in limits]
    return np.stack(np.broadcast_arrays(*terms), axis=-1)
