"""Lips: how far a mouth is puckered, read from its width.

Of a pucker the landmarks show little but that the mouth is narrow, and a few points among many
weigh little in a fit of all. The blend shape network says whether a narrow mouth is a pucker.
"""

import numpy as np
from jaxtyping import Float

from .model import FaceModel

_CORNERS = (61, 291)  # of the mouth, right and left
_KEY = "mouthPucker"
_NUMBERS_GAIN = 0.85  # the blend shape network calls rounded lips a whole pucker
_NOISE = 0.35  # of the pucker that a width tells, within which a mouth is no narrower


def pucker(
    model: FaceModel,
    displacement: Float[np.ndarray, "frames 478 3"],
    values: Float[np.ndarray, "frames 52"],
    numbers: Float[np.ndarray, "frames 52"],
) -> Float[np.ndarray, " frames"]:
    """Return how far the mouth is puckered, 0…1.

    Args:
        model: of the landmarks.
        displacement: of the landmarks from the person's face at rest, head's axes, metres.
        values: coefficients of all keys.
        numbers: coefficients of the blend shape network, 0 at rest.
    """
    key, (right, left) = model.names.index(_KEY), _CORNERS
    width_of_keys = model.seen_keys[:, left, 0] - model.seen_keys[:, right, 0]
    seen = displacement[:, left, 0] - displacement[:, right, 0]
    others = values @ width_of_keys - values[:, key] * width_of_keys[key]
    narrow = (seen - others) / width_of_keys[key]
    by_width = (narrow - _NOISE) / (1 - _NOISE)
    most = _NUMBERS_GAIN * numbers[:, key].clip(0, 1)
    return np.maximum(values[:, key], np.minimum(by_width, most)).clip(0, 1)
