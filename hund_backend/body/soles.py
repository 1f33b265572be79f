"""Soles: the points of a foot that touch the ground, as weighted sums of vertices."""

import numpy as np
from jaxtyping import Float

from .file import BodyFile
from .skeleton import JOINT_INDEX, JOINT_NAMES

SOLE_NAMES = tuple(
    f"{side}_{point}" for side in ("left", "right") for point in ("heel", "ball", "toe")
)
_FOOT = ("Ankle", "Foot", "Ball", "Toes01")
_PATCH = 8  # lowest vertices of a region, which are averaged
_BALL_REACH = 0.02  # metres before and behind the ball's joint
_TOE_SHARE = 0.75  # of the way from the ball's joint to the foremost vertex


def sole_matrix(body: BodyFile) -> Float[np.ndarray, "6 points"]:
    """Return the weights of vertices and joints in each point of SOLE_NAMES.

    Each is the mean of the lowest vertices of a region of the foot at rest: behind the ankle, under
    the joint of the ball, and under the tip of the toes.
    """
    matrix = np.zeros((len(SOLE_NAMES), len(body.template) + len(body.joints)), np.float32)
    for row, name in enumerate(SOLE_NAMES):
        side, point = name.split("_")
        members = _patch(body, side[0].upper(), point)
        matrix[row, members] = 1 / len(members)
    return matrix


def _patch(body: BodyFile, side: str, point: str) -> np.ndarray:
    """Return indices of the vertices under a point of a foot."""
    joints = [JOINT_INDEX[f"{name}{side}"] for name in _FOOT]
    carrier = body.skinning_weights.argmax(axis=1)
    foot = np.isin(carrier, joints)
    forward, height = body.template[:, 2], body.template[:, 1]
    ankle, ball = (
        body.joints[JOINT_NAMES.index(f"{name}{side}"), 2] for name in ("Ankle", "Ball")
    )
    tip = ball + _TOE_SHARE * (forward[foot].max() - ball)
    region = {
        "heel": forward < ankle,
        "ball": np.abs(forward - ball) < _BALL_REACH,
        "toe": forward > tip,
    }[point]
    members = np.flatnonzero(foot & region)
    return members[np.argsort(height[members], kind="stable")[:_PATCH]]
