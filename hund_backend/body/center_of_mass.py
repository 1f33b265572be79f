"""Center of mass: a weighted sum of joints, by the masses of a person's segments.

Masses and centers of the segments after de Leva, "Adjustments to Zatsiorsky-Seluyanov's segment
inertia parameters", J. Biomechanics 1996, means of women and men. Of the trunk's parts the ends are
joints of the spine.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .skeleton import JOINT_NAMES

GRAVITY = 9.81  # m/s²


class _Segment(NamedTuple):
    first: str
    second: str
    mass: float  # share of the body's
    place: float  # of its center, from the first joint (0) to the second (1)


_TRUNK = (
    _Segment("Neck01", "Head01", 0.068, 2.0),  # the head's center lies above its joint
    _Segment("Spine03", "Neck01", 0.157, 0.5),
    _Segment("Spine01", "Spine03", 0.155, 0.5),
    _Segment("Pelvis", "Spine01", 0.118, 0.3),
)
_LIMBS = (
    _Segment("Upperarm{}", "Lowerarm{}", 0.0263, 0.576),
    _Segment("Lowerarm{}", "Hand{}", 0.0150, 0.457),
    _Segment("Lowerarm{}", "Hand{}", 0.0059, 1.3),  # the hand, beyond its joint
    _Segment("Thigh{}", "Calf{}", 0.1447, 0.385),
    _Segment("Calf{}", "Ankle{}", 0.0457, 0.443),
    _Segment("Ankle{}", "Ball{}", 0.0133, 0.5),
)


def mass_weights(names: tuple[str, ...]) -> Float[np.ndarray, " joints"]:
    """Return the weight of each joint in the center of mass; they sum to one.

    Args:
        names: of the joints, among them those of trunk, arms and legs.
    """
    sides = [
        each._replace(first=each.first.format(side), second=each.second.format(side))
        for each in _LIMBS
        for side in "LR"
    ]
    weights = np.zeros(len(names))
    for segment in (*_TRUNK, *sides):
        weights[names.index(segment.first)] += segment.mass * (1 - segment.place)
        weights[names.index(segment.second)] += segment.mass * segment.place
    return weights / weights.sum()


def centers_of_mass(joints: Float[np.ndarray, "frames joints 3"]) -> Float[np.ndarray, "frames 3"]:
    """Centers of mass of a moving body, from all its joints."""
    return np.einsum("j,fjx->fx", mass_weights(JOINT_NAMES), joints)
