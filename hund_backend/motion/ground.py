"""The ground: which way is up, and how high each person's feet stand, from feet that rest."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

LEVEL_SPREAD = np.radians(15.0)  # how far cameras are usually held from level
UPRIGHT_SPREAD = np.radians(10.0)  # how far people lean on average over a clip
FOOT_NOISE = 0.04  # metres by which resting feet miss the plane
SLOPE_SPREAD = np.tan(np.radians(6.0))  # of the ground against the first guess of level
CAMERA_UP = np.array([0.0, -1.0, 0.0])
ITERATIONS = 10
SAME_GROUND = 0.35  # metres: people whose feet differ by less stand on the same ground


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A direction and a height per person, in the camera frame."""

    up: Float[np.ndarray, "3"]  # unit vector
    heights: Float[np.ndarray, " people"]  # of the resting feet along `up`, metres
    level: float  # height of the ground itself, metres


def estimate_ground(
    feet: list[Float[np.ndarray, "frames feet 3"]],
    rest_confidence: list[Float[np.ndarray, "frames feet"]],
    standing_directions: list[Float[np.ndarray, "frames 3"]],
) -> Ground:
    """Fit a plane to resting feet, near what level cameras and upright people suggest.

    The slope is one for all, the height each person's own (people stand on stairs and roofs), in a
    ridge regression whose prior is the first guess of level: feet that spread in one direction
    correct the slope in that direction only. Huber's weights forgive feet that were not resting.

    Args:
        feet: points under the feet of each person, camera frame, metres.
        resting: how sure each rests on something, 0…1.
        upright: direction from hips to neck while the person stands, zero where not.

    Returns:
        The ground, level with the lowest people.
    """
    up = _first_guess(standing_directions)
    side, depth = _tangents(up)
    points = [person.reshape(-1, 3) for person in feet]
    weights = [person.reshape(-1) for person in rest_confidence]
    slopes, residuals = np.zeros(2), [np.zeros(len(person)) for person in points]
    for _ in range(ITERATIONS):
        slopes, heights = _regressed(points, weights, residuals, (up, side, depth))
        residuals = [
            person @ up - person @ side * slopes[0] - person @ depth * slopes[1] - height
            for person, height in zip(points, heights, strict=True)
        ]
    normal = up - slopes[0] * side - slopes[1] * depth
    scale = np.linalg.norm(normal)
    heights = heights / scale
    low = heights[heights < heights.min() + SAME_GROUND]
    return Ground(up=normal / scale, heights=heights, level=float(low.mean()))


def _first_guess(
    standing_directions: list[Float[np.ndarray, "frames 3"]],
) -> Float[np.ndarray, "3"]:
    """Up by the camera and by people who stand, weighed by how far each is usually off."""
    total = CAMERA_UP / LEVEL_SPREAD**2
    for directions in standing_directions:
        mean = directions.sum(0)
        length = np.linalg.norm(mean)
        if length > 0:  # each person leans in one way: more frames do not make them straighter
            total = total + mean / length / UPRIGHT_SPREAD**2
    length = np.linalg.norm(total)
    return total / length if length > 0 else CAMERA_UP


def _tangents(
    up: Float[np.ndarray, "3"],
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Two directions along the ground: to the camera's right, and away from it."""
    side = np.cross(up, np.array([0.0, 0, 1]))
    side = side if np.linalg.norm(side) > 0.1 else np.cross(up, np.array([0.0, 1, 0]))
    side = side / np.linalg.norm(side)
    return side, np.cross(side, up)


def _regressed(
    points: list[Float[np.ndarray, "points 3"]],
    weights: list[Float[np.ndarray, " points"]],
    residuals: list[Float[np.ndarray, " points"]],
    frame: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, " people"]]:
    """Slopes along the two tangents and each person's height."""
    up, side, depth = frame
    normal = np.eye(2) / SLOPE_SPREAD**2
    right = np.zeros(2)
    means = []
    for person, weight, residual in zip(points, weights, residuals, strict=True):
        huber = FOOT_NOISE / np.maximum(np.abs(residual), FOOT_NOISE)
        weight = weight * huber + 1e-9  # a person whose feet never rest still has a height
        share = weight / weight.sum()
        tangential = np.stack([person @ side, person @ depth], axis=-1)
        height = person @ up
        middle, mean = share @ tangential, share @ height
        means.append((middle, mean))
        hip_centered = (tangential - middle) * (weight / FOOT_NOISE**2)[:, None]
        normal = normal + hip_centered.T @ (tangential - middle)
        right = right + hip_centered.T @ (height - mean)
    slopes = np.linalg.solve(normal, right)
    return slopes, np.array([mean - middle @ slopes for middle, mean in means])
