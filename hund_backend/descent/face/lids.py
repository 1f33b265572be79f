"""Lids: how far each eye is closed, read from the opening between the lids.

The blend shape network reads a resting eye as half closed and a closed one as little more; the
opening between the lids tells both apart.
"""

import numpy as np
from jaxtyping import Float

from .model import LIDS

_AT_REST, _CLOSED = 0.15, 0.8  # share of the opening that is lost: noise below, closed above
_NOISE_SPREADS = 3.0  # of a small face's own noise, below which nothing is lost
_MOST_NOISE = 0.4
_TOGETHER = 0.4  # difference of both eyes below which they close as one: few people wink


def eye_closure(
    displacement: Float[np.ndarray, "frames 478 3"], neutral: Float[np.ndarray, "478 3"]
) -> dict[str, Float[np.ndarray, " frames"]]:
    """Return how far each eye is closed, by side: 0 as at rest, 1 where the lids meet.

    Args:
        displacement: of the landmarks from the person's face at rest, head's axes, metres.
        neutral: landmarks of the person's face at rest.
    """
    closure: dict[str, np.ndarray] = {}
    height = neutral[:, 1] + displacement[..., 1]
    for side, pairs in LIDS.items():
        upper, lower = (list(lid) for lid in zip(*pairs, strict=True))
        rest = (neutral[upper, 1] - neutral[lower, 1]).mean()
        opening = (height[:, upper] - height[:, lower]).mean(axis=-1)
        lost = 1 - opening / max(rest, 1e-4)
        spread = 1.5 * float(np.median(np.abs(lost - np.median(lost))))
        start = min(max(_AT_REST, _NOISE_SPREADS * spread), _MOST_NOISE)
        closure[side] = ((lost - start) / (_CLOSED - start)).clip(0, 1)
    mean = (closure["Left"] + closure["Right"]) / 2
    apart = closure["Left"] - closure["Right"]
    apart = np.sign(apart) * (abs(apart) - _TOGETHER).clip(0) / (1 - _TOGETHER)
    return {
        "Left": (mean + apart / 2).clip(0, 1),
        "Right": (mean - apart / 2).clip(0, 1),
    }
