"""Balance: hands, knees and seat that must bear, since on the feet alone a person would fall.

Captured motion has few people on hands and knees to learn from. Balance needs no examples: the
center of mass of somebody who hardly moves is over what bears, whatever the pose and whatever bears it.
Knees and seats that keep still at the height of the lowest point bear, too: they lie on the ground.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d, minimum_filter1d

from ..body.center_of_mass import centers_of_mass
from ..body.contact_points import CONTACT_NAMES
from ..body.skeleton import JOINT_INDEX
from ..body.soles import SOLE_NAMES

REACH, REACH_SOFTNESS = 0.25, 0.04  # metres along the ground from the soles to the center of mass
BODY_SPEED, BODY_SOFTNESS = 0.5, 0.1  # m/s of the center of mass of somebody who keeps balance
POINT_SPEED, POINT_SOFTNESS = 0.35, 0.08  # m/s of a point that bears
LOW = 0.3  # metres over the lowest point, at confidence ½: estimated people lean with their depth
HIP_OVER_KNEE, HIP_SOFTNESS = 0.15, 0.03  # metres of somebody who kneels
LEVEL_THIGH, THIGH_SOFTNESS = 0.6, 0.08  # sine of a sitting person's thighs over the horizontal
SMOOTHING = 0.1  # seconds, standard deviation
WINDOW = 0.5  # seconds before and after a frame in which the lowest point is looked for
GROUND, GROUND_SOFTNESS = (
    0.13,
    0.02,
)  # metres over the lowest point of knees and seats on the ground
SEATED, SEATED_SOFTNESS = 0.15, 0.02  # REACH of somebody who keeps still on level thighs, metres
STILL_SPEED, STILL_SOFTNESS = 0.12, 0.03  # m/s of such a person's center of mass
SEAT_SLOPE = 0.35  # LEVEL_THIGH of such a person
HIGHEST = 0.9  # probability of what is inferred


def bearing_by_balance(
    points: Float[np.ndarray, "frames 12 3"],
    joints: Float[np.ndarray, "frames 63 3"],
    up: Float[np.ndarray, "3"],
    times: Float[np.ndarray, " frames"],
    rests: Bool[np.ndarray, " frames"],
) -> Float[np.ndarray, "frames 12"]:
    """Return probabilities that hands, knees and seats bear, and soles of who does not stand.

    Args:
        points: of CONTACT_NAMES, in the frame of a static camera, metres.
        joints: of the person, same frame.
        up: unit vector away from the ground.
        times: of the frames, seconds.
        rests: where the person lies or is on their hands, so that soles move unlike those of people
            who stand or walk.
    """
    found = np.zeros(points.shape[:2])
    if len(points) < 3:
        return found
    rate = 1 / float(np.median(np.diff(times)))
    center = centers_of_mass(joints)
    offsets = center[:, None] - points[:, : len(SOLE_NAMES)]
    along = offsets - (offsets @ up)[..., None] * up
    away = np.linalg.norm(along, axis=-1).min(axis=1)
    body_speed = _speed_across(center[:, None], times, rate)[:, 0]
    falls = _above(gaussian_filter1d(away, SMOOTHING * rate), REACH, REACH_SOFTNESS)
    falls *= _above(-body_speed, -BODY_SPEED, BODY_SOFTNESS)
    heights = points @ up
    lowest = minimum_filter1d(heights.min(axis=1), 2 * round(WINDOW * rate) + 1, mode="nearest")
    low = 1 / (1 + ((heights - lowest[:, None]) / LOW) ** 4)
    slow = _above(-_speed_across(points, times, rate), -POINT_SPEED, POINT_SOFTNESS)
    grounded = _above(lowest[:, None] - heights, -GROUND, GROUND_SOFTNESS)
    keeps_still = _above(-body_speed, -STILL_SPEED, STILL_SOFTNESS)
    behind = _above(gaussian_filter1d(away, SMOOTHING * rate), SEATED, SEATED_SOFTNESS)
    soles = np.s_[:, : len(SOLE_NAMES)]
    found[soles] = HIGHEST * (grounded * slow)[soles] * rests[:, None]
    on_hands = np.zeros(len(points))
    for column, name in enumerate(CONTACT_NAMES):
        side, part = name.split("_")
        if part not in ("hand", "knee"):
            continue
        bears = falls * low[:, column]
        if part == "knee":
            bears = np.maximum(bears, grounded[:, column])
        found[:, column] = HIGHEST * bears * slow[:, column]
        if part == "knee":
            hip, knee = (
                joints[:, JOINT_INDEX[f"{joint}{side[0].upper()}"]] @ up
                for joint in ("Thigh", "Calf")
            )
            found[:, column] *= _above(hip - knee, HIP_OVER_KNEE, HIP_SOFTNESS)
        on_hands = np.maximum(on_hands, found[:, column])
    for column, name in enumerate(CONTACT_NAMES):
        side, part = name.split("_")
        if part == "seat":
            side = side[0].upper()
            thigh = joints[:, JOINT_INDEX[f"Calf{side}"]] - joints[:, JOINT_INDEX[f"Thigh{side}"]]
            slope = np.abs(thigh @ up) / np.linalg.norm(thigh, axis=-1)
            bears = falls * _above(-slope, -LEVEL_THIGH, THIGH_SOFTNESS) * (1 - on_hands)
            seated = keeps_still * behind * _above(-slope, -SEAT_SLOPE, THIGH_SOFTNESS)
            bears = np.maximum.reduce((bears, seated * (1 - on_hands), grounded[:, column]))
            found[:, column] = HIGHEST * bears * slow[:, column]
    return found


def _speed_across(
    points: Float[np.ndarray, "frames points 3"],
    times: Float[np.ndarray, " frames"],
    rate: float,
) -> Float[np.ndarray, "frames points"]:
    """Smoothed speeds across the line of sight, m/s."""
    smooth = gaussian_filter1d(points, SMOOTHING * rate, axis=0, mode="nearest")
    velocity = np.gradient(smooth, times, axis=0)
    ray = smooth / np.maximum(np.linalg.norm(smooth, axis=-1, keepdims=True), 1e-6)
    return np.linalg.norm(velocity - (velocity * ray).sum(-1, keepdims=True) * ray, axis=-1)


def _above(
    values: Float[np.ndarray, "*shape"], limit: float, softness: float
) -> Float[np.ndarray, "*shape"]:
    return 0.5 * (1 + np.tanh(0.5 * (values - limit) / softness))
