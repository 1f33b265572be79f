"""Ground plane: its normal and each person's ground height, from resting feet."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

LEVEL_STD = np.radians(15.0)  # of a camera's tilt from level
UPRIGHT_STD = np.radians(10.0)  # of a person's mean lean over a clip
FOOT_STD = 0.04  # metres; of resting feet from the plane
DEPTH_STD = 0.06  # of a person's distance: error of the depth, which moves feet along their ray
PERSISTENCE = 0.7  # seconds in which that error stays the same
SLOPE_STD = np.tan(np.radians(6.0))  # of the ground against the initial up direction
CAMERA_UP = np.array([0.0, -1.0, 0.0])
ITERATIONS = 10
SAME_GROUND = 0.35  # metres: supports whose heights differ by less are the same ground
LOW_SHARE = 0.1  # of the main performer's resting points that may lie below the floor by far


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Up direction and ground heights in the camera frame."""

    up: Float[np.ndarray, "3"]  # unit vector
    heights: Float[np.ndarray, " people"]  # of each person's resting feet along `up`, metres
    level: float  # height of the floor, which is the main performer's, metres


def estimate_ground(
    feet: list[Float[np.ndarray, "frames feet 3"]],
    rest_confidence: list[Float[np.ndarray, "frames feet"]],
    standing_directions: list[Float[np.ndarray, "frames 3"]],
    fps: float,
    main: int = 0,
) -> Ground:
    """Fit a plane to resting feet, with level cameras and upright people as the prior.

    Ridge regression of the plane's slope, shared by all people, and of a height for each (people
    stand on stairs and roofs). The prior slope is zero against the initial up direction, so feet
    that spread in one direction correct the slope in that direction only. Huber weights reduce the
    influence of feet that were not at rest. The error of a person's depth moves the feet along their
    rays for a while: somebody who stands seems to walk on a plane through the camera. So feet count
    by that error's effect on their height, and the frames that share it count once.

    Args:
        feet: points under the feet of each person, camera frame, metres.
        rest_confidence: that each point is at rest, 0…1.
        standing_directions: unit vectors from hips to neck while the person stands, zero elsewhere;
            camera frame.
        fps: frames per second.
        main: index of the main performer, on whose floor the world stands. Somebody far behind is
            placed too roughly in depth to decide about it.
    """
    up = _initial_up(standing_directions)
    side, depth = _tangents(up)
    points = [person.reshape(-1, 3) for person in feet]
    weights = [person.reshape(-1) for person in rest_confidence]
    # Of the points of one foot or two in frames of one error, all together count as one.
    shared = [max(PERSISTENCE * fps, 1.0) * person.shape[1] for person in rest_confidence]
    precisions = [
        1 / (share * (FOOT_STD**2 + (DEPTH_STD * (person @ up)) ** 2))
        for person, share in zip(points, shared, strict=True)
    ]
    slopes, residuals = np.zeros(2), [np.zeros(len(person)) for person in points]
    for _ in range(ITERATIONS):
        slopes, heights = _regress(points, weights, precisions, residuals, (up, side, depth))
        residuals = [
            person @ up - person @ side * slopes[0] - person @ depth * slopes[1] - height
            for person, height in zip(points, heights, strict=True)
        ]
    normal = up - slopes[0] * side - slopes[1] * depth
    scale = np.linalg.norm(normal)
    up = normal / scale
    level = floor_level(points[main] @ up, weights[main])
    return Ground(up=up, heights=heights / scale, level=level)


def floor_level(
    heights: Float[np.ndarray, " points"], weights: Float[np.ndarray, " points"]
) -> float:
    """Height of the lowest ground on which points rest for a tenth of their time, metres.

    A person who jumps from a roof has two grounds, and the floor is the lower one. It is the median
    of the points on it, so that neither noise nor a foot that rolls shifts it.

    Args:
        heights: of the points along the up direction, metres.
        weights: confidence that each point is at rest, 0…1.
    """
    order = np.argsort(heights)
    heights, weights = heights[order], weights[order] + 1e-9  # defined if nothing ever rests
    low = _weighted_quantile(heights, weights, LOW_SHARE)
    near = np.abs(heights - low) < SAME_GROUND
    return _weighted_quantile(heights[near], weights[near], 0.5)


def _weighted_quantile(
    ascending: Float[np.ndarray, " points"], weights: Float[np.ndarray, " points"], share: float
) -> float:
    cumulative = np.cumsum(weights)
    return float(ascending[np.searchsorted(cumulative, share * cumulative[-1])])


def _initial_up(
    standing_directions: list[Float[np.ndarray, "frames 3"]],
) -> Float[np.ndarray, "3"]:
    """Return the mean up direction of camera and standing people, weighted by inverse variance."""
    total = CAMERA_UP / LEVEL_STD**2
    for directions in standing_directions:
        mean = directions.sum(0)
        length = np.linalg.norm(mean)
        if length > 0:  # a lean persists, so the weight does not grow with the number of frames
            total = total + mean / length / UPRIGHT_STD**2
    length = np.linalg.norm(total)
    return total / length if length > 0 else CAMERA_UP


def _tangents(
    up: Float[np.ndarray, "3"],
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Return two directions along the ground: to the camera's right, and away from it."""
    side = np.cross(up, np.array([0.0, 0, 1]))
    side = side if np.linalg.norm(side) > 0.1 else np.cross(up, np.array([0.0, 1, 0]))
    side = side / np.linalg.norm(side)
    return side, np.cross(side, up)


def _regress(
    points: list[Float[np.ndarray, "points 3"]],
    weights: list[Float[np.ndarray, " points"]],
    precisions: list[Float[np.ndarray, " points"]],
    residuals: list[Float[np.ndarray, " points"]],
    frame: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, " people"]]:
    """Return the slopes along the two tangents, and each person's height."""
    up, side, depth = frame
    normal = np.eye(2) / SLOPE_STD**2
    right = np.zeros(2)
    means = []
    for person, weight, precision, residual in zip(
        points, weights, precisions, residuals, strict=True
    ):
        limit = 1 / np.sqrt(precision.max())
        huber = limit / np.maximum(np.abs(residual), limit)
        weight = weight * huber + 1e-9  # defines the height of people whose feet never rest
        share = weight / weight.sum()
        tangential = np.stack([person @ side, person @ depth], axis=-1)
        height = person @ up
        middle, mean = share @ tangential, share @ height
        means.append((middle, mean))
        centered = (tangential - middle) * (weight * precision)[:, None]
        normal = normal + centered.T @ (tangential - middle)
        right = right + centered.T @ (height - mean)
    slopes = np.linalg.solve(normal, right)
    return slopes, np.array([mean - middle @ slopes for middle, mean in means])
