"""Brows: how far they are raised or lowered, fitted to their own landmarks alone.

A raised brow moves a few landmarks by a few millimetres, which weighs little in a fit of all.
Heights of brows follow nods, too, so the blend shape network has to agree.
"""

import numpy as np
from jaxtyping import Float

from .coefficients import bounded_least_squares
from .model import FaceModel

KEYS = ("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight")
_LANDMARKS = {
    "Right": (70, 63, 105, 66, 107, 46, 53, 52, 65, 55),
    "Left": (300, 293, 334, 296, 336, 276, 283, 282, 295, 285),
}
_NOISE = 0.001  # metres, of the height of a landmark
_POINTS_PER_FACT = 5.0  # neighboring landmarks err alike
_RIDGE = 0.5
_AT_REST = 0.25  # activation within which a brow is at rest
_NUMBERS_GAIN = 1.4  # the blend shape network reads about seven tenths of a brow's way


def brow_coefficients(
    model: FaceModel,
    displacement: Float[np.ndarray, "frames 478 3"],
    numbers: Float[np.ndarray, "frames 52"],
) -> Float[np.ndarray, "frames 5"]:
    """Return the activations 0…1 of KEYS that explain the heights of the brows.

    Args:
        model: of the landmarks.
        displacement: of the landmarks from the person's face at rest, head's axes, metres.
        numbers: coefficients of the blend shape network, 0 at rest.
    """
    points = [point for side in _LANDMARKS.values() for point in side]
    rows = [model.names.index(key) for key in KEYS]
    design = model.seen_keys[np.ix_(rows, points)][..., 1] / _NOISE
    heights = displacement[:, points, 1] / _NOISE
    normal = design @ design.T / _POINTS_PER_FACT + _RIDGE * np.eye(len(rows))
    values = bounded_least_squares(normal, heights @ design.T / _POINTS_PER_FACT)
    raised = (values - _AT_REST) / (1 - _AT_REST)
    return np.minimum(raised, _NUMBERS_GAIN * numbers[:, rows].clip(0, 1)).clip(0, 1)
