"""Lids: how far each eye is closed, read from the opening between the lids.

The blend shape network reads a resting eye as half closed and a closed one as little more; the
opening between the lids tells both apart.
"""

import numpy as np
from jaxtyping import Float

from .model import LIDS

_AT_REST, _CLOSED = 0.15, 0.8  # share of the opening that is lost: noise below, closed above


def eye_closure(
    displacement: Float[np.ndarray, "frames 478 3"], neutral: Float[np.ndarray, "478 3"]
) -> dict[str, Float[np.ndarray, " frames"]]:
    """Return how far each eye is closed, by side: 0 as at rest, 1 where the lids meet.

    Args:
        displacement: of the landmarks from the person's face at rest, head's axes, metres.
        neutral: landmarks of the person's face at rest.
    """
    closure = {}
    height = neutral[:, 1] + displacement[..., 1]
    for side, pairs in LIDS.items():
        upper, lower = (list(lid) for lid in zip(*pairs, strict=True))
        rest = (neutral[upper, 1] - neutral[lower, 1]).mean()
        opening = (height[:, upper] - height[:, lower]).mean(axis=-1)
        lost = 1 - opening / max(rest, 1e-4)
        closure[side] = ((lost - _AT_REST) / (_CLOSED - _AT_REST)).clip(0, 1)
    return closure
