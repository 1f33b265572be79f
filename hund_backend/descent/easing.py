"""Easing: weights that rise without corners."""

import numpy as np
from jaxtyping import Float


def smoothstep(share: Float[np.ndarray, "*batch"]) -> Float[np.ndarray, "*batch"]:
    """Return 0 up to a share of 0 and 1 from a share of 1, level at both ends."""
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)
