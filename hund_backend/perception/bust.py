"""Bust: people whom the frame cuts off above the hips, by head and shoulders alone."""

import numpy as np
from jaxtyping import Float

HEAD_AND_SHOULDERS = [0, 2, 5, 7, 8, 11, 12]  # nose, eyes, ears, shoulders
SHARE = 0.85  # of their mean peak that counts: who is found as a whole is surer
MID_HIP = 33  # BlazePose's auxiliary point
SHOULDERS, HIPS = [11, 12], [23, 24]
ARMS = ((13, 15, 17, 19, 21), (14, 16, 18, 20, 22))  # elbow, wrist and hand of each side
REACHES = (0.6, 1.1, 1.25, 1.25, 1.2)  # of these below the shoulder, lengths of the trunk
GUESSED = 0.3  # confidence below which a keypoint is not seen


def quality_of_bust(
    points: Float[np.ndarray, "crops points 2"],
    peaks: Float[np.ndarray, "crops points"],
    size: tuple[int, int],
) -> Float[np.ndarray, " crops"]:
    """Return the quality of people whom the frame cuts off above the hips; zero for all others.

    It is that of head and shoulders, lowered (SHARE).

    Args:
        points: px of the frame, with the auxiliary ones.
        peaks: highest values of the heat maps, 0…1.
        size: width and height of the frame, px.
    """
    inside = ((points >= 0) & (points <= size)).all(axis=-1)
    mean = (inside * peaks)[:, HEAD_AND_SHOULDERS].mean(axis=1)
    return np.where(inside[:, MID_HIP], 0.0, SHARE * mean)


def release_guessed_limbs(
    points: Float[np.ndarray, "points 2"],
    landmarks: Float[np.ndarray, "points 3"],
    confidence: Float[np.ndarray, " points"],
) -> None:
    """Give limbs out of view no confidence, and let guessed arms hang, in place.

    Of people who are cut off, the network guesses arms out of view, often within the frame.

    Args:
        points: px of the frame.
        landmarks: metres.
        confidence: of the points, 0…1.
    """
    confidence[confidence < GUESSED] = 0
    for shoulder, arm in zip(SHOULDERS, ARMS, strict=True):
        if confidence[list(arm[:2])].any():  # elbow or wrist is seen
            continue
        for place in (points, landmarks):
            trunk = place[HIPS].mean(axis=0) - place[SHOULDERS].mean(axis=0)
            place[list(arm)] = place[shoulder] + np.array(REACHES)[:, None] * trunk
