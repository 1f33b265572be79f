"""True contacts of a captured body's points, by height and speed with hysteresis."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d, minimum_filter1d
from torch import Tensor

from ...body.center_of_mass import GRAVITY, centers_of_mass, mass_weights
from ...body.contact_points import CONTACT_NAMES
from ...body.model import BodyModel
from ...body.skeleton import JOINT_INDEX, JOINT_NAMES
from ...body.soles import SOLE_NAMES
from .sole_labels import (
    POSSIBLE,
    SHORTEST,
    STILL_SECONDS,
    STILL_SPEED,
    SURE,
    WINDOW_SECONDS,
    Limits,
    lowest_of_foot,
    point_speeds,
    runs_with,
)

# Of hands, knees and seats: the actor's limbs are longer or shorter than our body's, so that the
# captured knees of somebody who crawls are up to a decimeter over the floor on which the hands are.
BODY_SURE, BODY_POSSIBLE = Limits(0.07, 0.2), Limits(0.12, 0.4)
KNEE_SURE, KNEE_POSSIBLE = Limits(0.10, 0.2), Limits(0.15, 0.4)
ROLLING_HAND = Limits(0.12, 1.0)  # of a hand that alone bears somebody: the palm rolls over it
FALLING = -0.5 * GRAVITY  # m/s²: downward acceleration of somebody whom nothing bears
FALL_SMOOTHING = 0.05  # seconds, standard deviation
SLOWEST_MARGIN = 0.1  # m/s
SEAT_SPEED = 0.15  # m/s of a seat that bears
LEVEL_THIGH = 0.64  # largest sine of a sitting person's thighs over the horizontal
# Metres by which the center of mass of somebody who keeps still is behind the feet: nobody can stand
# like that, so the seat bears, whatever it is on.
BEHIND_FEET = 0.06


class ContactMotion(NamedTuple):
    """Motion of a body in the world, y up, metres."""

    points: Float[np.ndarray, "frames 12 3"]  # of CONTACT_NAMES
    joints: Float[np.ndarray, "frames 63 3"]


def contact_motion(
    body: BodyModel,
    rotations: Float[Tensor, "frames 63 3 3"],
    translation: Float[Tensor, "frames 3"],
    betas: Float[Tensor, "16"],
) -> ContactMotion:
    """Points of CONTACT_NAMES and joints of a moving body in the world."""
    posed = body(
        rotations[:, 1:],
        betas.expand(len(rotations), -1),
        global_orient=rotations[:, 0],
        root_translation=translation,
    )
    points, joints = body.contact_points(posed), posed.joints
    return ContactMotion(*(each.double().numpy() for each in (points, joints)))


class Labels(NamedTuple):
    """True contacts, and where they can be trusted."""

    contacts: Bool[np.ndarray, "frames 12"]
    known: Bool[np.ndarray, " frames"]
    """Not where nothing bears a person who does not fall: there captured feet slide."""


def contact_labels(motion: ContactMotion, fps: float) -> Labels:
    """Return which points of CONTACT_NAMES bear on something.

    A run of frames in which a point may be in contact (POSSIBLE) counts if it surely is in one of
    them (SURE). The floor is the lowest point of the nearest frames, as captured floors drift and
    have steps. A sole that stays still for a while counts at any height, since it stands on a higher
    step, if no other point of its foot is well below it.
    A seat counts at any height if without it the person would fall backwards. Where nothing bears
    somebody whose center of mass does not fall, the slowest soles do.

    Args:
        motion: of the body.
        fps: frames a second.
    """
    points = motion.points
    window = 2 * round(WINDOW_SECONDS * fps) + 1
    lowest = minimum_filter1d(points[..., 1].min(axis=1), window, mode="nearest")
    height = points[..., 1] - lowest[:, None]
    speed = point_speeds(points, fps)
    soles = np.arange(len(CONTACT_NAMES)) < len(SOLE_NAMES)
    hands, knees, seats = (_columns(part) for part in ("hand", "knee", "seat"))
    sure, possible = (
        soles & _within(height, speed, of_soles)
        | (hands | seats) & _within(height, speed, of_others)
        | knees & _within(height, speed, of_knees)
        for of_soles, of_others, of_knees in (
            (SURE, BODY_SURE, KNEE_SURE),
            (POSSIBLE, BODY_POSSIBLE, KNEE_POSSIBLE),
        )
    )
    contacts = runs_with(possible, sure, SHORTEST)
    long = max(round(STILL_SECONDS * fps), SHORTEST)
    still = (speed < STILL_SPEED) & soles
    still[:, : len(SOLE_NAMES)] &= lowest_of_foot(points[:, : len(SOLE_NAMES), 1])
    leans = contacts[:, hands].any(axis=1, keepdims=True)  # forward, on the hands
    seated = _seated(motion, speed) & seats & ~leans
    contacts |= runs_with(still, still, long) | runs_with(seated, seated, long)
    falls = _falls(motion.joints, fps)
    slowest = np.where(soles, speed, np.inf).min(axis=1, keepdims=True)
    bears = (speed < np.minimum(slowest + SLOWEST_MARGIN, POSSIBLE.speed)) & soles
    bears |= hands & _within(height, speed, ROLLING_HAND)
    contacts |= bears & ~(contacts.any(axis=1) | falls)[:, None]
    return Labels(contacts, contacts.any(axis=1) | falls)


def _within(
    height: Float[np.ndarray, "frames 12"], speed: Float[np.ndarray, "frames 12"], limits: Limits
) -> Bool[np.ndarray, "frames 12"]:
    return (height < limits.height) & (speed < limits.speed)


def _falls(joints: Float[np.ndarray, "frames 63 3"], fps: float) -> Bool[np.ndarray, " frames"]:
    """Return where the center of mass accelerates downwards as without any support."""
    height = np.einsum("j,fj->f", mass_weights(JOINT_NAMES), joints[..., 1])
    if len(height) < 3:
        return np.zeros(len(height), dtype=bool)
    height = gaussian_filter1d(height, FALL_SMOOTHING * fps, mode="nearest")
    return np.gradient(np.gradient(height, 1 / fps), 1 / fps) < FALLING


def _seated(
    motion: ContactMotion, speed: Float[np.ndarray, "frames 12"]
) -> Bool[np.ndarray, "frames 12"]:
    """Return where slow seats must bear, since the center of mass is behind the feet."""
    joints = motion.joints
    center = centers_of_mass(joints)
    feet = {name: motion.points[:, CONTACT_NAMES.index(name)] for name in SOLE_NAMES}
    heels = (feet["left_heel"] + feet["right_heel"]) / 2
    hips = joints[:, [JOINT_INDEX["ThighL"], JOINT_INDEX["ThighR"]]].mean(axis=1)
    knees = joints[:, [JOINT_INDEX["CalfL"], JOINT_INDEX["CalfR"]]].mean(axis=1)
    ahead = _level(knees - hips)
    ahead = ahead / np.maximum(np.linalg.norm(ahead, axis=-1, keepdims=True), 1e-6)
    behind = ((heels - center) * ahead).sum(axis=-1)
    thigh = knees - hips
    slope = np.abs(thigh[:, 1]) / np.maximum(np.linalg.norm(thigh, axis=-1), 1e-6)
    sits = (behind > BEHIND_FEET) & (slope < LEVEL_THIGH)
    return sits[:, None] & (speed < SEAT_SPEED)


def _columns(part: str) -> Bool[np.ndarray, "12"]:
    return np.array([name.endswith(part) for name in CONTACT_NAMES])


def _level(vectors: Float[np.ndarray, "frames 3"]) -> Float[np.ndarray, "frames 3"]:
    """The vectors without their vertical part."""
    return vectors * np.array([1.0, 0.0, 1.0])
