"""Confidence of hands: calibrated probabilities that their points are right.

A logistic regression on what the network says of a crop and on where it finds the hand, fitted by
`tools/calibrate_hands.py` (docs/log/hands.md). The network says nothing of single points: they
differ by how far from the wrist they are.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit

CONSTANT = 0.47
WEIGHTS = (0.44, 0.26, -2.48, -2.00)  # of the inputs of `log_odds`
# Of each point, added to the constant: wrist, then the four points of a finger from base to tip.
POINT_OFFSETS = (0.28, 0.19, 0.12, -0.13, -0.46)
POINT_LEVELS = np.array([0, *(1, 2, 3, 4) * 5])  # index of POINT_OFFSETS of each landmark


def hand_confidence(inputs: Float[np.ndarray, "4"]) -> float:
    """Return the probability that a hand's points are right: that of its mean point.

    Args:
        inputs: see `log_odds`.
    """
    offset = np.array(POINT_OFFSETS)[POINT_LEVELS].mean()
    return float(expit(CONSTANT + offset + inputs @ np.array(WEIGHTS)))


def point_confidence(inputs: Float[np.ndarray, "4"]) -> Float[np.ndarray, "21"]:
    """Return the probability that each point is within a tenth of the hand's length of the truth.

    Args:
        inputs: see `log_odds`.
    """
    offsets = np.array(POINT_OFFSETS)[POINT_LEVELS]
    return expit(CONSTANT + offsets + inputs @ np.array(WEIGHTS))


def log_odds(
    presence: float, agreement: float, misplacement: float, growth: float
) -> Float[np.ndarray, "4"]:
    """Return the regression's inputs.

    Args:
        presence: the network's probability of a hand.
        agreement: the network's probability of this side, left or right.
        misplacement: distance from the body's wrist, and how much nearer another wrist is, in
            lengths of the hand.
        growth: the hand's size over that expected of this person.
    """
    terms = (
        logit(np.clip(presence, 0.002, 0.998)),
        logit(np.clip(agreement, 0.02, 0.98)),
        min(misplacement, 1.5) ** 2,
        np.log(np.clip(growth, 0.1, 10.0)) ** 2,
    )
    return np.array(terms, float)
