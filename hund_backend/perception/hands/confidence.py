"""Confidence of hands: the probability that it is this hand, and that its points are right."""

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit

CONSTANT = 0.0
PRESENCE_WEIGHT = 0.8
SIDE_WEIGHT = 0.3
DISTANCE_WEIGHT = -4.0


def hand_confidence(
    presence: Float[np.ndarray, "*batch"],
    agreement: Float[np.ndarray, "*batch"],
    wrist_distance: Float[np.ndarray, "*batch"],
) -> Float[np.ndarray, "*batch"]:
    """Return the probability that the hand found is the one looked for.

    Args:
        presence: the network's probability of a hand.
        agreement: the network's probability of this side, left or right.
        wrist_distance: from the hand's wrist to the body's, in lengths of the hand.
    """
    odds = logit(np.clip(presence, 0.002, 0.998))
    side = logit(np.clip(agreement, 0.02, 0.98))
    far = DISTANCE_WEIGHT * np.asarray(wrist_distance) ** 2
    return expit(CONSTANT + PRESENCE_WEIGHT * odds + SIDE_WEIGHT * side + far)
