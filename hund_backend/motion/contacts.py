"""Resting points of the feet, and contacts as results have them."""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

REST_SPEED = 0.35  # m/s, at confidence ½
SPEED_SOFTNESS = 0.08  # m/s
ALONG_RAY = 0.3  # weight of velocity along the line of sight, where depth is noisy
SMOOTHING = 0.04  # seconds, standard deviation; contacts last longer


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


def heel_and_toe(contacts: Float[np.ndarray, "frames 6"]) -> Float[np.ndarray, "frames 4"]:
    """Contacts of left heel, left toe, right heel, right toe from those of SOLE_NAMES.

    A foot stands on its toes while ball or toes do.
    """
    feet = contacts.reshape(-1, 2, 3)
    return np.stack((feet[..., 0], feet[..., 1:].max(axis=-1)), axis=-1).reshape(-1, 4)


def _sigmoid(values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    return 0.5 * (1 + np.tanh(0.5 * values))
