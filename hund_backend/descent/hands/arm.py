"""Arm of a hand that is seen: wrist, forearm's twist and elbow take the hand where it is seen."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ...body.rotations import rotvec_to_matrix
from ...prior.coordinates import swing_and_twist
from ...prior.limits import JointLimits

FOREARM_SHARE = 0.5  # of the twist between upper arm and hand that the forearm joint takes
MAX_TWIST = math.radians(110.0)  # of both, from palms that face the thighs, either way
_MOVE_COST = 1.5  # of a radian of twist from frame to frame, over one that is out of range
_STRAIGHT = 0.999  # of the arm's length: no arm is pulled straighter than that


class WristAngles(NamedTuple):
    """Bend of a wrist, and the twist between upper arm and hand; radians."""

    bend: Float[Tensor, "*batch 2"]  # flexion and abduction, about axes that turn with the palm
    twist: Float[Tensor, "*batch"]  # of forearm and hand, in −π … π: either way leads to the hand


class Wrist:
    """Forearm and hand of one side with their anatomical axes."""

    def __init__(self, limits: JointLimits, joints: tuple[int, int]) -> None:
        """Take the axes.

        Args:
            limits: of the joints, in the rotations' precision.
            joints: indices of forearm and hand among the limited joints.
        """
        self._frame_of_forearm, self._frame_of_hand = limits.frames[list(joints)].unbind(0)
        self._lower, self._upper = limits.lower[joints[1], :2], limits.upper[joints[1], :2]

    def angles(
        self, forearm: Float[Tensor, "*batch 3 3"], hand: Float[Tensor, "*batch 3 3"]
    ) -> WristAngles:
        """Return the angles of rotations in their parents' frames."""
        angles = swing_and_twist(hand[..., None, :, :], self._frame_of_hand[None])[..., 0, :]
        total = self._forearm_twist(forearm) + angles[..., 2]
        total = torch.remainder(total + math.pi, 2 * math.pi) - math.pi
        return WristAngles(_turned(angles[..., :2], -angles[..., 2]), total)

    def rotations(
        self, forearm: Float[Tensor, "*batch 3 3"], angles: WristAngles
    ) -> tuple[Float[Tensor, "*batch 3 3"], Float[Tensor, "*batch 3 3"]]:
        """Return rotations of forearm and hand that share the twist.

        The hand keeps its orientation as far as the limits allow.

        Args:
            forearm: rotation of the forearm before, whose twist is replaced.
            angles: of the wrist.
        """
        bone = self._frame_of_hand[:, 2]
        forearm_twist = self._forearm_twist(forearm)
        total = angles.twist.clamp(-MAX_TWIST, MAX_TWIST)
        bend = angles.bend.clamp(self._lower, self._upper)
        # The wrist bends behind the twist: its flexion is about an axis that turns with the palm.
        swing = _turned(bend, angles.twist - forearm_twist)
        swing = rotvec_to_matrix((self._frame_of_hand[:, :2] @ swing[..., None])[..., 0])
        added = FOREARM_SHARE * total - forearm_twist
        about = rotvec_to_matrix(added[..., None] * bone)
        rest = rotvec_to_matrix(((1 - FOREARM_SHARE) * total)[..., None] * bone)
        return forearm @ about, about.mT @ swing @ about @ rest

    def _forearm_twist(self, forearm: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
        frame = self._frame_of_forearm[None]
        return swing_and_twist(forearm[..., None, :, :], frame)[..., 0, 2]


def followed_twist(
    twist: Float[Tensor, " frames"], weights: Float[Tensor, " frames"]
) -> Float[Tensor, " frames"]:
    """Return twists with the full turns added that lead from frame to frame without jumps.

    A hand that is turned as far as arms go looks the same from either way round. Of all ways through
    the frames, the one that leaves the range least and moves least within it is taken.

    Args:
        twist: in −π … π, of the frames of a shot.
        weights: how much a frame's twist counts, 0…1.
    """
    ways = 2 * math.pi * torch.tensor([-1.0, 0.0, 1.0]).to(twist)
    candidates = twist[:, None] + ways
    within = candidates.clamp(-MAX_TWIST, MAX_TWIST)
    outside = weights[:, None] * (candidates - within).abs()
    cost, before = outside[0], []
    for frame in range(1, len(twist)):
        moves = _MOVE_COST * (within[frame, None] - within[frame - 1, :, None]).abs()
        best = (cost[:, None] + moves).min(0)
        before.append(best.indices)
        cost = best.values + outside[frame]
    way = [int(cost.argmin())]
    for indices in reversed(before):
        way.append(int(indices[way[-1]]))
    return candidates[torch.arange(len(twist)), torch.tensor(way[::-1])]


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
