"""Feet that packs record badly or not at all: ankles that flicker, toes that are missing."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hund_backend.body.kinematics import forward_kinematics
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import matrix_to_rotvec, rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX, PARENTS
from hund_backend.prior.limits import JointLimits

BEYOND = 0.26  # radians beyond its limits at which an ankle's rotation is not believed
LONGEST_GAP = 0.5  # seconds over which an ankle is carried from what is believed on both sides
MOST_EXTENSION = 1.0  # radians by which toes bend up
LOW, HIGH = 0.03, 0.08  # metres of the ball above its lowest place: on the ground, off it


class Feet:
    """Repairs of the feet of clips of our mean body."""

    def __init__(self) -> None:
        self._rest = BodyModel.load("keypoints").rest_template.double()
        self._limits = JointLimits(torch.float64)

    def repaired(
        self, rotations: Float[Tensor, "frames 63 3 3"], fps: float
    ) -> Float[Tensor, "frames 63 3 3"]:
        """The clip with ankles carried over short gaps in which they are turned beyond limits.

        Longer gaps stay as they are, and the rule for joint limits finds them.
        """
        excess = self._limits.excess(rotations[:, 1:]).abs().amax(-1)
        rotations = rotations.clone()
        for side in "LR":
            joint = JOINT_INDEX[f"Ankle{side}"]
            wrong = excess[:, self._limits.joints.index(joint - 1)] > BEYOND
            rotations[:, joint] = _carried_over(rotations[:, joint], wrong, LONGEST_GAP * fps)
        return rotations

    def with_toes(
        self, rotations: Float[Tensor, "frames 63 3 3"], heights: Float[Tensor, " frames"]
    ) -> Float[Tensor, "frames 63 3 3"]:
        """The clip with toes that lie on the ground while the heel is raised; else they are straight.

        Args:
            rotations: a clip whose toes do not move.
            heights: of the pelvis, metres.
        """
        rotations = rotations.clone()
        rest = self._rest.expand(len(rotations), -1, -1)
        turned, joints = forward_kinematics(rotations, rest, PARENTS)
        balls = [JOINT_INDEX[f"Ball{side}"] for side in "LR"]
        ankles = [JOINT_INDEX[f"Ankle{side}"] for side in "LR"]
        height = joints[:, balls, 1] - rest[:, :1, 1] + heights[:, None]
        ground = height.amin(-1).quantile(0.05)
        near = 1 - ((height - ground - LOW) / (HIGH - LOW)).clamp(0, 1)
        front, up = turned[:, ankles, 1, 2], turned[:, ankles, 1, 1]
        raised = torch.asin(-front.clamp(-1, 1)).clamp(0, MOST_EXTENSION) * (up > 0)
        bend = torch.zeros(len(rotations), 2, 3, dtype=rotations.dtype)
        bend[..., 0] = -raised * near
        rotations[:, balls] = rotvec_to_matrix(bend)
        return rotations


def _carried_over(
    rotations: Float[Tensor, "frames 3 3"], wrong: Bool[Tensor, " frames"], longest: float
) -> Float[Tensor, "frames 3 3"]:
    """Rotations with gaps of wrong ones, up to the longest, bridged by the shortest turn."""
    rotations = rotations.clone()
    right = (~wrong).nonzero()[:, 0]
    for before, after in zip(right[:-1].tolist(), right[1:].tolist(), strict=True):
        if 1 < after - before <= longest:
            turn = matrix_to_rotvec(rotations[before].mT @ rotations[after])
            shares = torch.arange(1, after - before, dtype=turn.dtype) / (after - before)
            rotations[before + 1 : after] = rotations[before] @ rotvec_to_matrix(
                shares[:, None] * turn
            )
    return rotations
