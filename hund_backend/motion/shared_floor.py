"""Shared floor: sizes of people with which those on the same ground stand on one plane.

One camera sees a person of another size at another distance alike. Feet on a common floor tell
which: a size of 1 + e moves the feet along their rays, so that their height h below the camera
becomes (1 + e) h.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

SIZE_STD = 0.06  # of a person's size, relative: error of the depth
FLOOR_STD = 0.04  # metres; of the height of a person's floor
MOST_CHANGE = 0.15  # of a size; whoever needs more stands on other ground
SAME_FLOOR = 0.05  # metres: floors that differ by less are one
LEAST_DROP = 0.5  # metres from the camera to the floor, below which feet say little of sizes


def sizes_on_shared_floor(floors: tuple[float, ...], main: int) -> Float[np.ndarray, " people"]:
    """Return factors of people's sizes and distances with which their floors agree.

    The shared floor L minimizes Σ w (L / h − 1)² over the people whose floors differ from the main
    performer's by no more than errors of size explain, w the precision of each. A measured error of
    size is shrunk by the share that the floor's own error has in it.

    Args:
        floors: height of the floor under each person along the up direction, metres, from the
            camera: below zero where the camera is above the floor.
        main: index of the main performer.

    Returns:
        1 for people on other ground, for a person alone, and for cameras near the floor.
    """
    heights = np.array(floors, dtype=np.float64)
    sizes = np.ones(len(heights))
    if abs(heights[main]) < LEAST_DROP:
        return sizes
    same_side = heights * np.sign(heights[main]) > LEAST_DROP
    shared = same_side & (
        np.abs(heights[main] / np.where(same_side, heights, 1.0) - 1) <= MOST_CHANGE
    )
    if shared.sum() < 2:
        return sizes
    on_floor = heights[shared]
    noise = (FLOOR_STD / on_floor) ** 2
    weights = 1 / (SIZE_STD**2 + noise)
    level = (weights / on_floor).sum() / (weights / on_floor**2).sum()
    sizes[shared] += SIZE_STD**2 * weights * (level / on_floor - 1)
    return sizes


def joined_floors(floors: Sequence[float], level: float) -> tuple[float, ...]:
    """Heights of people's floors, with those near the clip's floor on it.

    Args:
        floors: height of the floor under each person, metres.
        level: height of the clip's floor, metres.
    """
    return tuple(level if abs(floor - level) < SAME_FLOOR else floor for floor in floors)
