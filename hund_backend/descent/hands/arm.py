"""Arm of a hand that is seen: wrist, forearm's twist and elbow take the hand where it is seen."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ...body.rotations import rotvec_to_matrix
from ...prior.coordinates import swing_and_twist
from ...prior.limits import JointLimits

FOREARM_SHARE = 0.5  # of the twist between upper arm and hand that the forearm joint takes
MAX_TWIST = math.radians(110.0)  # of both, from palms that face the thighs, either way
_STRAIGHT = 0.999  # of the arm's length: no arm is pulled straighter than that


def distribute_twist(
    forearm: Float[Tensor, "*batch 3 3"],
    hand: Float[Tensor, "*batch 3 3"],
    limits: JointLimits,
    joints: tuple[int, int],
) -> tuple[Float[Tensor, "*batch 3 3"], Float[Tensor, "*batch 3 3"]]:
    """Return rotations of forearm and hand that share the twist; the wrist bends within its limits.

    The hand keeps its orientation as far as the limits allow.

    Args:
        forearm: rotation of the forearm joint in its parent's frame.
        hand: rotation of the hand joint in the forearm's.
        limits: of the joints, in the rotations' precision.
        joints: indices of forearm and hand among the limited joints.
    """
    frame_of_forearm, frame_of_hand = limits.frames[list(joints)].unbind(0)
    bone = frame_of_hand[:, 2]
    forearm_twist = swing_and_twist(forearm[..., None, :, :], frame_of_forearm[None])[..., 0, 2]
    angles = swing_and_twist(hand[..., None, :, :], frame_of_hand[None])[..., 0, :]
    # Either way round leads to the same hand: the shorter one from the middle is the arm's.
    total = torch.remainder(forearm_twist + angles[..., 2] + math.pi, 2 * math.pi) - math.pi
    total = total.clamp(-MAX_TWIST, MAX_TWIST)
    # The wrist bends behind the twist: its flexion is about an axis that turns with the palm.
    palm = _turned(angles[..., :2], -angles[..., 2])
    bend = palm.clamp(limits.lower[joints[1], :2], limits.upper[joints[1], :2])
    swing = _turned(bend, angles[..., 2])
    swing = rotvec_to_matrix((frame_of_hand[:, :2] @ swing[..., None])[..., 0])
    added = FOREARM_SHARE * total - forearm_twist
    about = rotvec_to_matrix(added[..., None] * bone)
    rest = rotvec_to_matrix(((1 - FOREARM_SHARE) * total)[..., None] * bone)
    return forearm @ about, about.mT @ swing @ about @ rest


def move_wrist(
    upper: Float[Tensor, "*batch 3"],
    lower: Float[Tensor, "*batch 3"],
    offset: Float[Tensor, "*batch 3"],
) -> tuple[Float[Tensor, "*batch 3 3"], Float[Tensor, "*batch 3 3"]]:
    """Return rotations of the upper arm and of the forearm that move the wrist.

    The elbow bends in its plane, then the whole arm turns the shortest way. Where the wrist cannot
    be reached, the arm points there.

    Args:
        upper: from shoulder to elbow, metres.
        lower: from elbow to wrist.
        offset: of the wrist.

    Returns:
        Rotations in the vectors' frame, to be applied to the orientations of upper arm and forearm.
    """
    long, short = upper.norm(dim=-1), lower.norm(dim=-1)
    wanted = upper + lower + offset
    reach = wanted.norm(dim=-1)
    longest, shortest = _STRAIGHT * (long + short), (long - short).abs() + 0.05 * short
    # A wrist that is out of reach already is not pulled back.
    longest = longest.maximum((upper + lower).norm(dim=-1))
    reach = reach.minimum(longest).maximum(shortest)
    cosine = (reach**2 - long**2 - short**2) / (2 * long * short)
    normal = torch.linalg.cross(upper, lower)
    # The normal of a straight arm is no direction; it needs none, as it stays nearly straight.
    bent = normal.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    before = torch.atan2(normal.norm(dim=-1), (upper * lower).sum(-1))
    after = cosine.clamp(-1, 1).arccos()
    bend = rotvec_to_matrix((after - before)[..., None] * normal / bent)
    reached = upper + (bend @ lower[..., None])[..., 0]
    turn = _shortest_rotation(reached, wanted)
    return turn, turn @ bend


def _turned(
    vectors: Float[Tensor, "*batch 2"], angle: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 2"]:
    """Vectors turned in their plane."""
    cosine, sine = angle.cos(), angle.sin()
    x, y = vectors.unbind(-1)
    return torch.stack((cosine * x - sine * y, sine * x + cosine * y), dim=-1)


def _shortest_rotation(
    source: Float[Tensor, "*batch 3"], target: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 3 3"]:
    """Rotation that brings one direction to another the shortest way."""
    axis = torch.linalg.cross(source, target)
    sine = axis.norm(dim=-1)
    angle = torch.atan2(sine, (source * target).sum(-1))
    return rotvec_to_matrix(axis * (angle / sine.clamp(min=1e-12))[..., None])
