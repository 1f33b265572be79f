"""Anatomy of the left hand's fingers: axes and ranges of their joints, and the relaxed hand."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..body.hand import HAND_JOINT_NAMES, POINT_NAMES, hand_axes
from ..body.rotations import rotvec_to_matrix
from .coordinates import swing_and_twist

NUM_HAND_JOINTS = len(HAND_JOINT_NAMES)
THUMB_BASE = HAND_JOINT_NAMES.index("Thumb01L")

# Degrees from the body's rest, in which fingers are nearly straight. A finger's knuckle (MCP) also
# spreads; the two hinges behind it (PIP and DIP) bend one way only. Ranges are those of clinical
# goniometry, widened by what recorded hands show and by what lies between our rest and theirs.
FLEXION = ((-32.0, 95.0), (-9.0, 112.0), (-13.0, 88.0))  # of a finger's joints
SIDEWAYS, TWIST = (27.0, 6.0, 6.0), (10.0, 6.0, 8.0)  # of a finger's joints, either way
THUMB_FLEXION = ((-45.0, 75.0), (-25.0, 72.0), (-36.0, 92.0))  # base, knuckle, tip
THUMB_SIDEWAYS = ((-25.0, 62.0), (-24.0, 20.0), (-6.0, 6.0))
THUMB_TWIST = (42.0, 8.0, 8.0)
# Flexion of the last joint that goes with the middle one's: one tendon bends both.
TIP_SHARE, TIP_SLACK = 0.67, 28.0  # ratio; degrees by which it may differ without effort

# Flexion of knuckles and middle joints, from index to little finger, and the thumb's opposition and
# flexions: a hand that hangs or lies and does nothing.
RELAXED = ((18, 22, 26, 30), (18, 22, 25, 26), (12, 5, 8, 12))


class HandAnatomy(nn.Module):
    """Axes of the finger joints as tensors, in the skeleton's order of joints.

    Attributes:
        axes: flexion, abduction and twist axis of each joint as columns, (15, 3, 3), body frame.
        lower, upper: ranges of the three angles, (15, 3), radians.
    """

    def __init__(self, rest: Float[Tensor, "21 3"]) -> None:
        """Derive the axes.

        Args:
            rest: points of the hand at rest (`HandModel.rest`).
        """
        super().__init__()
        lower, upper = _ranges()
        self.register_buffer("axes", joint_axes(rest), persistent=False)
        self.register_buffer("lower", lower.deg2rad().to(rest), persistent=False)
        self.register_buffer("upper", upper.deg2rad().to(rest), persistent=False)

    def angles(self, rotations: Float[Tensor, "*batch 15 3 3"]) -> Float[Tensor, "*batch 15 3"]:
        """Return flexion, abduction and twist of the joints, radians."""
        return swing_and_twist(rotations, self.axes)

    def rotations(self, angles: Float[Tensor, "*batch 15 3"]) -> Float[Tensor, "*batch 15 3 3"]:
        """Return rotations by flexion and abduction, after a twist about the bone; radians."""
        swing = (self.axes[..., :2] @ angles[..., :2, None])[..., 0]
        twist = self.axes[..., 2] * angles[..., 2:]
        return rotvec_to_matrix(swing) @ rotvec_to_matrix(twist)

    def excess(self, rotations: Float[Tensor, "*batch 15 3 3"]) -> Float[Tensor, "*batch 49"]:
        """Return how far angles are outside their ranges, radians; zero within.

        The last four are of the coupling of the fingers' two hinges.
        """
        angles = self.angles(rotations)
        outside = angles - angles.clamp(self.lower, self.upper)
        flexions = angles[..., :THUMB_BASE, 0].unflatten(-1, (4, 3))
        slack = torch.deg2rad(flexions.new_tensor(TIP_SLACK))
        apart = flexions[..., 2] - TIP_SHARE * flexions[..., 1]
        return torch.cat((outside.flatten(-2), apart - apart.clamp(-slack, slack)), dim=-1)

    def relaxed(self) -> Float[Tensor, "15 3 3"]:
        """Return the rotations of a relaxed hand."""
        knuckles, middles, thumb = RELAXED
        angles = self.lower.new_zeros(NUM_HAND_JOINTS, 3)
        for finger in range(4):
            flexions = knuckles[finger], middles[finger], TIP_SHARE * middles[finger]
            angles[3 * finger : 3 * finger + 3, 0] = angles.new_tensor(flexions)
        angles[THUMB_BASE, 1] = thumb[0]
        angles[THUMB_BASE:, 0] = angles.new_tensor(thumb[1:])
        return self.rotations(angles.deg2rad())


def joint_axes(rest: Float[Tensor, "21 3"]) -> Float[Tensor, "15 3 3"]:
    """Columns for each joint: flexion axis, abduction axis, bone; right-handed, body frame at rest.

    Fingers flex towards the palm, the thumb across it. A knuckle's positive abduction leads a left
    finger towards the thumb, or away from it where the hand's own axes ask for that; of the thumb's
    base it is the opposition, which leads it from the side before the palm.

    Args:
        rest: points of the hand at rest.
    """
    _, across, palm = hand_axes(rest).unbind(-1)
    frames = []
    for name in HAND_JOINT_NAMES:
        row = POINT_NAMES.index(name)
        direction = _unit(rest[row + 1] - rest[row])
        towards = 0.5 * palm - across if name.startswith("Thumb") else palm
        flexion = _unit(torch.linalg.cross(direction, towards))
        abduction = torch.linalg.cross(direction, flexion)
        frames.append(torch.stack((flexion, abduction, direction), dim=-1))
    return torch.stack(frames)


def _ranges() -> tuple[Float[Tensor, "15 3"], Float[Tensor, "15 3"]]:
    """Return the lower and upper limits of all angles, degrees."""
    rows = []
    for name in HAND_JOINT_NAMES:
        bone = int(name[-2]) - 1
        if name.startswith("Thumb"):
            twist = THUMB_TWIST[bone]
            rows.append((THUMB_FLEXION[bone], THUMB_SIDEWAYS[bone], (-twist, twist)))
        else:
            aside, twist = SIDEWAYS[bone], TWIST[bone]
            rows.append((FLEXION[bone], (-aside, aside), (-twist, twist)))
    lower, upper = torch.tensor(rows).unbind(-1)
    return lower, upper


def _unit(vector: Float[Tensor, " 3"]) -> Float[Tensor, " 3"]:
    return vector / vector.norm()
