"""Resting points of the feet, runs of contact, and contacts as results have them."""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d, label

from ..body.contact_points import CONTACT_NAMES

REST_SPEED = 0.35  # m/s, at confidence ½
SPEED_SOFTNESS = 0.08  # m/s
ALONG_RAY = 0.3  # weight of velocity along the line of sight, where depth is noisy
SMOOTHING = 0.04  # seconds, standard deviation; contacts last longer
BEGINS, ENDS = 0.6, 0.35  # probabilities at which a contact begins and ends
EDGE = 0.01  # by which probabilities in a contact are above ½ at least, and others below
# Deviation, metres across the line of sight, by which an estimated point strays while its support
# stays, at confidence ½. On a moving or soft support it strays further.
STRAY = 0.05
STRAY_SECONDS = 1.5  # in which it is measured: a run of contact may be several, in several places
# Columns of a Reconstruction's body contacts.
BODY_CONTACT_NAMES = ("left_hand", "right_hand", "left_knee", "right_knee", "seat")


def rest_confidence(
    feet: Float[np.ndarray, "frames points 3"], times: Float[np.ndarray, " frames"]
) -> Float[np.ndarray, "frames points"]:
    """Return the confidence that each point is at rest, 0…1, from its speed.

    It is one for clips of fewer than three frames, which show no speed.

    Args:
        feet: points of the soles in the frame of a static camera, metres.
        times: of the frames, seconds.
    """
    if len(feet) < 3:
        return np.ones(feet.shape[:2])
    velocity = np.gradient(feet, times, axis=0)
    ray = feet / np.maximum(np.linalg.norm(feet, axis=-1, keepdims=True), 1e-6)
    along = (velocity * ray).sum(-1, keepdims=True) * ray
    speed = np.linalg.norm(velocity - along + ALONG_RAY * along, axis=-1)
    frames = SMOOTHING / np.median(np.diff(times))
    return _sigmoid((REST_SPEED - gaussian_filter1d(speed, frames, axis=0)) / SPEED_SOFTNESS)


def with_hysteresis(
    probability: Float[np.ndarray, "frames points"],
) -> Float[np.ndarray, "frames points"]:
    """Return probabilities that are above ½ in runs of contact, and below elsewhere.

    A run begins above BEGINS and ends below ENDS, so that a point does not flicker.
    """
    result = np.minimum(probability, 0.5 - EDGE)
    for point in range(probability.shape[1]):
        values = probability[:, point]
        runs, _ = label(values > ENDS)
        inside = np.isin(runs, np.unique(runs[values > BEGINS]))
        result[inside, point] = np.maximum(values[inside], 0.5 + EDGE)
    return result


def steadiness(
    points: Float[np.ndarray, "frames points 3"],
    bearing: Float[np.ndarray, "frames points"],
    fps: float,
) -> Float[np.ndarray, "frames points"]:
    """Return the confidence that what bears a point keeps its place, 0…1; one out of contact.

    Args:
        points: in the frame of a static camera, metres.
        bearing: confidence that each bears on something.
        fps: frames a second.
    """
    longest = max(round(STRAY_SECONDS * fps), 1)
    result = np.ones(bearing.shape)
    for point in range(bearing.shape[1]):
        runs, count = label(bearing[:, point] > 0.5)
        for number in range(1, count + 1):
            frames = runs == number
            places = points[frames, point]
            offsets = places - places.mean(axis=0)
            ray = places.mean(axis=0) / np.linalg.norm(places.mean(axis=0))
            across = offsets - (offsets @ ray)[:, None] * ray
            stray = _moving_deviation(across, min(longest, len(across)))
            result[frames, point] = 1 / (1 + (stray / STRAY) ** 4)
    return result


def body_contacts(contacts: Float[np.ndarray, "frames 12"]) -> Float[np.ndarray, "frames 5"]:
    """Contacts of BODY_CONTACT_NAMES from those of CONTACT_NAMES; a seat has two sides."""
    columns = [
        [i for i, point in enumerate(CONTACT_NAMES) if point.endswith(name)]
        for name in BODY_CONTACT_NAMES
    ]
    return np.stack([contacts[:, each].max(axis=-1) for each in columns], axis=-1)


def heel_and_toe(contacts: Float[np.ndarray, "frames 6"]) -> Float[np.ndarray, "frames 4"]:
    """Contacts of left heel, left toe, right heel, right toe from those of SOLE_NAMES.

    A foot stands on its toes while ball or toes do.
    """
    feet = contacts.reshape(-1, 2, 3)
    return np.stack((feet[..., 0], feet[..., 1:].max(axis=-1)), axis=-1).reshape(-1, 4)


def _moving_deviation(
    vectors: Float[np.ndarray, "frames 3"], window: int
) -> Float[np.ndarray, " frames"]:
    """Standard deviation within the window around each frame; at the ends, in the outermost one."""
    sums = np.cumsum(np.concatenate((vectors, vectors**2), axis=1), axis=0)
    sums = np.concatenate((np.zeros_like(sums[:1]), sums))
    means = (sums[window:] - sums[:-window]) / window
    variance = (means[:, 3:] - means[:, :3] ** 2).sum(axis=1).clip(0)
    first = np.clip(np.arange(len(vectors)) - window // 2, 0, len(means) - 1)
    return np.sqrt(variance[first])


def _sigmoid(values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    return 0.5 * (1 + np.tanh(0.5 * values))
