"""Ground plane: its normal and each person's ground height, from resting feet."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .upright import CAMERA_UP, UpEvidence, on_feet

# Tilt of a camera from level: most stand on a tripod or are held level, others look down or up.
LEVEL_SHARE = 0.5
LEVEL_STD = np.radians([1.5, 2.5])  # roll, pitch
TILTED_STD = np.radians([10.0, 18.0])
FOOT_STD = 0.05  # metres; of resting feet from the plane
DEPTH_STD = 0.06  # of a person's distance: error of the depth, which moves feet along their ray
PERSISTENCE = 0.7  # seconds in which that error stays the same
SLOPE_STD = np.radians(5.0)  # most, of the ground against the initial up direction
ONE_LEVEL = 0.8  # share of clips in which somebody's supports are all on one level
STEEPNESS_STD = np.radians(15.0)  # of stairs and slopes, otherwise
ITERATIONS = 10
SAME_GROUND = 0.35  # metres: supports whose heights differ by less are the same ground
LOW_SHARE = 0.05  # of a person's resting points that may lie below the floor by far


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Up direction and ground heights in the camera frame."""

    up: Float[np.ndarray, "3"]  # unit vector
    heights: Float[np.ndarray, " people"]  # of each person's resting feet along `up`, metres
    level: float  # height of the floor, which is the main performer's, metres


def estimate_ground(
    feet: list[Float[np.ndarray, "frames feet 3"]],
    rest_confidence: list[Float[np.ndarray, "frames feet"]],
    uprights: list[UpEvidence],
    fps: float,
    main: int = 0,
) -> Ground:
    """Fit a plane to resting feet, with level cameras and people in balance as the prior.

    Ridge regression of the plane's slope, shared by all people, and of a height for each (people
    stand on stairs and roofs). The prior slope is zero against the initial up direction, so feet
    that spread in one direction correct the slope in that direction only. Huber weights reduce the
    influence of feet that were not at rest. The error of a person's depth moves the feet along their
    rays for a while: somebody who stands seems to walk on a plane through the camera. So feet count
    by that error's effect on their height, and the frames that share it count once. Feet that climb
    far more steeply than the initial up direction may be wrong are on stairs or on a slope, and say
    less of it.

    Args:
        feet: points under the feet of each person, camera frame, metres.
        rest_confidence: that each point is at rest, 0…1.
        uprights: up direction by each person's balance.
        fps: frames per second.
        main: index of the main performer, on whose floor the world stands. Somebody far behind is
            placed too roughly in depth to decide about it.
    """
    up, std = _initial_up(uprights)
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
        slopes, heights, information = _regress(
            points, weights, precisions, residuals, (up, side, depth), min(std, SLOPE_STD)
        )
        residuals = [
            person @ up - person @ side * slopes[0] - person @ depth * slopes[1] - height
            for person, height in zip(points, heights, strict=True)
        ]
    level = _one_level_probability(slopes, information, std)
    share = level + (1 - level) * std**2 / (
        std**2 + STEEPNESS_STD**2
    )  # of an error of the direction
    slopes = share * slopes
    information = share * information + (1 - share) * np.eye(2) / std**2
    up = up - slopes[0] * side - slopes[1] * depth
    up = expected_up(up / np.linalg.norm(up), np.sqrt(1 / information.diagonal()))
    heights = np.array(
        [_mean_height(person @ up, weight) for person, weight in zip(points, weights, strict=True)]
    )
    floor = floor_level(points[main] @ up, weights[main])
    return Ground(up=up, heights=heights, level=floor)


def floor_level(
    heights: Float[np.ndarray, " points"], weights: Float[np.ndarray, " points"]
) -> float:
    """Height of the lowest ground on which points rest for a twentieth of their time, metres.

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


def _initial_up(uprights: list[UpEvidence]) -> tuple[Float[np.ndarray, "3"], float]:
    """Return the mean up direction by everybody, and its standard deviation in radians."""
    precisions = [
        1 / TILTED_STD.max() ** 2,
        *(upright.std**-2 * on_feet(upright, CAMERA_UP) for upright in uprights),
    ]
    directions = [CAMERA_UP, *(upright.direction for upright in uprights)]
    total = sum(p * direction for p, direction in zip(precisions, directions, strict=True))
    length = np.linalg.norm(total)
    return (total / length if length > 0 else CAMERA_UP), float(sum(precisions)) ** -0.5


def expected_up(up: Float[np.ndarray, "3"], std: Float[np.ndarray, "2"]) -> Float[np.ndarray, "3"]:
    """Return the expected up direction, given a measured one: most cameras are level.

    The prior of roll and pitch each is a mixture of level and of tilted cameras. A small measured
    tilt is mostly the measurement's error, a large one is a tilt.

    Args:
        up: as measured, camera frame.
        std: of the measured roll and pitch, radians.
    """
    measured = np.array([np.arcsin(np.clip(up[0], -1, 1)), np.arctan2(up[2], -up[1])])
    if abs(measured[1]) > np.pi / 4:  # straight down or up: no camera that was meant to be level
        return up
    stds = np.stack((LEVEL_STD, TILTED_STD))
    total = stds**2 + std**2
    shares = np.array([[LEVEL_SHARE], [1 - LEVEL_SHARE]]) / np.sqrt(total)
    shares = shares * np.exp(-0.5 * measured**2 / total)
    shares = shares / np.maximum(shares.sum(axis=0), 1e-300)
    roll, pitch = (shares * stds**2 / total * measured).sum(axis=0)
    return np.array([np.sin(roll), -np.cos(roll) * np.cos(pitch), np.cos(roll) * np.sin(pitch)])


def _one_level_probability(
    slopes: Float[np.ndarray, "2"], information: Float[np.ndarray, "2 2"], std: float
) -> float:
    """Return the probability that feet climb only because the initial up direction is wrong.

    Args:
        slopes: of the feet against that direction, with its prior.
        information: of the slopes, the prior's included.
        std: of the initial up direction, radians.
    """
    prior = np.eye(2) / min(std, SLOPE_STD) ** 2
    by_feet = np.linalg.inv(information - prior + 1e-6 * np.eye(2))  # feet that never rest
    measured = by_feet @ information @ slopes
    densities = []
    for share, variance in ((ONE_LEVEL, 0.0), (1 - ONE_LEVEL, STEEPNESS_STD**2)):
        total = by_feet + (std**2 + variance) * np.eye(2)
        exponent = -0.5 * measured @ np.linalg.solve(total, measured)
        densities.append(np.log(share) + exponent - 0.5 * np.linalg.slogdet(total)[1])
    return float(1 / (1 + np.exp(densities[1] - densities[0])))


def _mean_height(
    heights: Float[np.ndarray, " points"], weights: Float[np.ndarray, " points"]
) -> float:
    """Return the mean height of points, those near their median first of all."""
    weights = weights + 1e-9  # defines the height of people whose feet never rest
    order = np.argsort(heights)
    middle = _weighted_quantile(heights[order], weights[order], 0.5)
    weights = weights * FOOT_STD / np.maximum(np.abs(heights - middle), FOOT_STD)
    return float((weights * heights).sum() / weights.sum())


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
    slope_std: float,
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, " people"], Float[np.ndarray, "2 2"]]:
    """Return the slopes along the two tangents, each person's height, the slopes' information."""
    up, side, depth = frame
    normal = np.eye(2) / slope_std**2
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
    return slopes, np.array([mean - middle @ slopes for middle, mean in means]), normal
