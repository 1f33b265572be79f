"""The schedule of a training's learning rate."""

import math


def rate_factor(share: float, rise: float = 0.02) -> float:
    """Factor of the learning rate: a short rise, then a cosine down to nothing.

    Args:
        share: of the steps that are done, 0…1.
        rise: share of the steps until the full rate is reached.
    """
    return min(1.0, share / rise) * 0.5 * (1 + math.cos(math.pi * share)) + 1e-3
