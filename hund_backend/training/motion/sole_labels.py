"""True contacts of the soles' points in captured motion, by height and speed with hysteresis."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import label, minimum_filter1d
from torch import Tensor

from ...body.model import BodyModel


class Limits(NamedTuple):
    """Height above the floor, metres, and speed, m/s."""

    height: float
    speed: float


SURE, POSSIBLE = Limits(0.03, 0.2), Limits(0.055, 0.4)
STILL_SPEED = 0.12  # m/s: below it a foot rests on a step or another support, at any height
STILL_SECONDS = 0.17
WINDOW_SECONDS = 0.4  # before and after a frame, in which the lowest sole is taken for the floor
SHORTEST = 2  # frames


def sole_points(
    body: BodyModel,
    rotations: Float[Tensor, "frames 63 3 3"],
    translation: Float[Tensor, "frames 3"],
    betas: Float[Tensor, "16"],
) -> Float[Tensor, "frames 6 3"]:
    """Points of SOLE_NAMES of a moving body in the world, metres."""
    posed = body(
        rotations[:, 1:],
        betas.expand(len(rotations), -1),
        global_orient=rotations[:, 0],
        root_translation=translation,
    )
    return body.soles(posed)


def sole_labels(
    soles: Float[np.ndarray, "frames points 3"], fps: float
) -> Bool[np.ndarray, "frames points"]:
    """Return which points of the soles bear on something.

    A run of frames in which a point may be in contact (POSSIBLE) counts if it surely is in one of
    them (SURE). The floor is the lowest sole of the nearest frames, as captured floors drift and have
    steps. A point that stays still for a while counts at any height, since it stands on a higher
    step, if no other point of its foot is well below it.

    Args:
        soles: positions, metres, y up.
        fps: frames a second.
    """
    window = 2 * round(WINDOW_SECONDS * fps) + 1
    lowest = minimum_filter1d(soles[..., 1].min(axis=1), window, mode="nearest")
    height = soles[..., 1] - lowest[:, None]
    speed = point_speeds(soles, fps)
    sure = (height < SURE.height) & (speed < SURE.speed)
    possible = (height < POSSIBLE.height) & (speed < POSSIBLE.speed)
    on_floor = runs_with(possible, sure, SHORTEST)
    still = (speed < STILL_SPEED) & lowest_of_foot(soles[..., 1])
    return on_floor | runs_with(still, still, max(round(STILL_SECONDS * fps), SHORTEST))


def lowest_of_foot(
    heights: Float[np.ndarray, "frames points"],
) -> Bool[np.ndarray, "frames points"]:
    """Return which points of SOLE_NAMES are near the lowest one of their foot.

    Toes keep still in the air, too, above a heel that bears.

    Args:
        heights: of the points, metres.
    """
    feet = heights.reshape(len(heights), 2, -1)
    above = feet - feet.min(axis=-1, keepdims=True)
    return (above < POSSIBLE.height).reshape(heights.shape)


def point_speeds(
    points: Float[np.ndarray, "frames points 3"], fps: float
) -> Float[np.ndarray, "frames points"]:
    """Speed of each point, m/s, the lesser one of before and after a frame.

    A foot that is about to lift is still in contact.
    """
    steps = np.linalg.norm(np.diff(points, axis=0), axis=-1) * fps
    ends = np.concatenate((steps[:1], steps, steps[-1:]))
    return np.minimum(ends[1:], ends[:-1])


def runs_with(
    mask: Bool[np.ndarray, "frames points"], seed: Bool[np.ndarray, "frames points"], shortest: int
) -> Bool[np.ndarray, "frames points"]:
    """Keep the runs of a mask, along frames, that are long enough and contain a seed."""
    kept = np.zeros_like(mask)
    for point in range(mask.shape[1]):
        runs, count = label(mask[:, point])
        numbers = np.arange(1, count + 1)
        lengths = np.bincount(runs, minlength=count + 1)[1:]
        seeded = np.isin(numbers, runs[seed[:, point]])
        kept[:, point] = np.isin(runs, numbers[seeded & (lengths >= shortest)])
    return kept
