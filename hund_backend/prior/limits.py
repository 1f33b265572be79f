"""Joint limits: anatomical ranges per axis, wide enough for dancers and acrobats."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..body.skeleton import JOINT_NAMES
from .coordinates import step_jacobian, swing_and_twist


class Limit(NamedTuple):
    """Ranges (lower, upper) of a left or middle joint about its anatomical axes, degrees."""

    joint: str
    twist_axis: tuple[float, float, float]  # along the bone at rest, body frame
    flexion_axis: tuple[float, float, float]  # a positive rotation about it flexes
    flexion: tuple[float, float]
    abduction: tuple[float, float]  # about twist axis × flexion axis
    twist: tuple[float, float]


# The body frame is x to the left, y up, z to the front; arms rest 45° below the horizontal, so an
# arm hangs at −45° of abduction and points up at 135°; legs rest 5° apart. Ranges are those of
# clinical goniometry (American Academy of Orthopaedic Surgeons, "Joint Motion: Method of Measuring
# and Recording", 1965), widened to what dancers and gymnasts reach and motion capture shows; the
# right side mirrors the left.
ARM = (-math.sqrt(0.5), math.sqrt(0.5), 0.0)  # from the hand to the shoulder
ARM_FLEXION = (-math.sqrt(0.5), -math.sqrt(0.5), 0.0)  # brings the hand to the front
LEG = (-math.sin(math.radians(5)), math.cos(math.radians(5)), 0.0)  # from the foot to the hip
KNEE_FLEXION = (math.cos(math.radians(5)), math.sin(math.radians(5)), 0.0)  # brings the heel back
HIP_FLEXION = (-KNEE_FLEXION[0], -KNEE_FLEXION[1], 0.0)  # brings the knee to the front
LEFT, RIGHT, UP, FRONT = (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
LIMITS = (
    Limit("Spine01", UP, LEFT, (-30, 45), (-30, 30), (-30, 30)),
    Limit("Spine02", UP, LEFT, (-30, 45), (-30, 30), (-30, 30)),
    Limit("Spine03", UP, LEFT, (-30, 45), (-30, 30), (-30, 30)),
    Limit("Neck01", UP, LEFT, (-45, 45), (-35, 35), (-50, 50)),
    Limit("Head01", UP, LEFT, (-45, 45), (-35, 35), (-50, 50)),
    Limit("ClavicleL", RIGHT, UP, (-30, 30), (-20, 50), (-30, 30)),
    Limit("UpperarmL", ARM, ARM_FLEXION, (-80, 150), (-70, 160), (-140, 140)),
    Limit("LowerarmL", ARM, ARM_FLEXION, (-10, 155), (-15, 15), (-100, 100)),
    Limit("HandL", ARM, FRONT, (-90, 90), (-60, 60), (-120, 120)),
    Limit("ThighL", LEG, HIP_FLEXION, (-60, 160), (-60, 130), (-80, 105)),
    Limit("CalfL", LEG, KNEE_FLEXION, (-10, 160), (-15, 15), (-40, 40)),
    Limit("AnkleL", UP, LEFT, (-50, 80), (-50, 50), (-50, 50)),
    Limit("BallL", FRONT, LEFT, (-70, 50), (-15, 15), (-15, 15)),
)


class JointLimits:
    """Limits of the joints of both sides as tensors.

    Attributes:
        joints: indices of the limited joints among the non-root joints.
        frames: flexion, abduction and twist axis of each, as columns, (limited, 3, 3).
        lower, upper: ranges of the angles, (limited, 3), radians.
    """

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        frames = torch.stack([_axes(limit) for limit in LIMITS])
        left = [index for index, limit in enumerate(LIMITS) if limit.joint.endswith("L")]
        # Mirrored across x, a rotation vector v becomes (v_x, −v_y, −v_z), and so do its axes.
        mirrored = frames[left] * torch.tensor([[1.0], [-1.0], [-1.0]])
        self.frames = torch.cat((frames, mirrored)).to(dtype)
        names = [limit.joint for limit in LIMITS]
        names += [f"{LIMITS[index].joint[:-1]}R" for index in left]
        self.joints = tuple(JOINT_NAMES.index(name) - 1 for name in names)
        ranges = [(limit.flexion, limit.abduction, limit.twist) for limit in LIMITS]
        ranges += [ranges[index] for index in left]
        self.lower, self.upper = torch.tensor(ranges, dtype=dtype).deg2rad().unbind(-1)

    def angles(
        self, pose: Float[Tensor, "*batch joints 3 3"]
    ) -> Float[Tensor, "*batch limited 3"]:
        """Return flexion, abduction and twist of the limited joints, radians.

        Args:
            pose: rotations of the non-root joints.
        """
        return swing_and_twist(pose[..., self.joints, :, :], self.frames)

    def excess(
        self, pose: Float[Tensor, "*batch joints 3 3"]
    ) -> Float[Tensor, "*batch limited 3"]:
        """Return the signed distance of each angle from its range, radians; zero within it."""
        return self._excess(pose[..., self.joints, :, :])

    def excess_jacobian(
        self, pose: Float[Tensor, "*batch joints 3 3"]
    ) -> Float[Tensor, "*batch limited 3 3"]:
        """Return the derivative of the excess by steps δ of the limited joints in R exp(δ)."""
        return step_jacobian(self._excess, pose[..., self.joints, :, :])

    def _excess(
        self, rotations: Float[Tensor, "*batch limited 3 3"]
    ) -> Float[Tensor, "*batch limited 3"]:
        angles = swing_and_twist(rotations, self.frames)
        return angles - angles.clamp(self.lower, self.upper)


def elbow_axis(side: str) -> Float[Tensor, " 3"]:
    """Return the flexion axis of the elbow of side "L" or "R" at rest, body frame."""
    axis = torch.tensor(ARM_FLEXION, dtype=torch.float64)
    return axis if side == "L" else axis * torch.tensor([1.0, -1.0, -1.0])


def _axes(limit: Limit) -> Float[Tensor, "3 3"]:
    """Return the flexion, abduction and twist axes as columns."""
    flexion, twist = torch.tensor(limit.flexion_axis), torch.tensor(limit.twist_axis)
    return torch.stack((flexion, torch.linalg.cross(twist, flexion), twist), dim=-1)
