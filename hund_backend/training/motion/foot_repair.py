"""Repair of feet that packs record badly or not at all: ankles that flicker, missing toes."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...body.kinematics import forward_kinematics
from ...body.model import BodyModel
from ...body.rotations import matrix_to_rotvec, rotvec_to_matrix
from ...body.skeleton import JOINT_INDEX, PARENTS
from ...prior.limits import JointLimits

LIMIT_TOLERANCE = 0.26  # radians beyond its limits from which an ankle's rotation is invalid
MAX_GAP = 0.5  # seconds over which an ankle's rotation is interpolated
MAX_EXTENSION = 1.0  # radians by which toes bend up
# Metres of the ball above its lowest position: on the ground below the first, off it above the
# second.
GROUND_HEIGHT, CLEAR_HEIGHT = 0.03, 0.08


class FootRepair:
    """Repairs the feet of clips of our mean body."""

    def __init__(self) -> None:
        self._rest = BodyModel.load("keypoints").rest_template.double()
        self._limits = JointLimits(torch.float64)

    def repair_ankles(
        self, rotations: Float[Tensor, "frames 63 3 3"], fps: float
    ) -> Float[Tensor, "frames 63 3 3"]:
        """Interpolate ankles over short gaps in which they are beyond their limits.

        Longer gaps stay as they are, and the rule for joint limits rejects them.
        """
        excess = self._limits.excess(rotations[:, 1:]).abs().amax(-1)
        rotations = rotations.clone()
        for side in "LR":
            joint = JOINT_INDEX[f"Ankle{side}"]
            invalid = excess[:, self._limits.joints.index(joint - 1)] > LIMIT_TOLERANCE
            rotations[:, joint] = _interpolate_gaps(rotations[:, joint], invalid, MAX_GAP * fps)
        return rotations

    def add_toes(
        self, rotations: Float[Tensor, "frames 63 3 3"], heights: Float[Tensor, " frames"]
    ) -> Float[Tensor, "frames 63 3 3"]:
        """Bend toes so that they lie on the ground while the heel is raised; else straight.

        Args:
            rotations: a clip whose toes do not move.
            heights: of the pelvis, metres.
        """
        rotations = rotations.clone()
        rest = self._rest.expand(len(rotations), -1, -1)
        orientations, joints = forward_kinematics(rotations, rest, PARENTS)
        balls = [JOINT_INDEX[f"Ball{side}"] for side in "LR"]
        ankles = [JOINT_INDEX[f"Ankle{side}"] for side in "LR"]
        height = joints[:, balls, 1] - rest[:, :1, 1] + heights[:, None]
        ground = height.amin(-1).quantile(0.05)
        lift = (height - ground - GROUND_HEIGHT) / (CLEAR_HEIGHT - GROUND_HEIGHT)
        near = 1 - lift.clamp(0, 1)
        front, up = orientations[:, ankles, 1, 2], orientations[:, ankles, 1, 1]
        extension = torch.asin(-front.clamp(-1, 1)).clamp(0, MAX_EXTENSION) * (up > 0)
        rotvecs = torch.zeros(len(rotations), 2, 3, dtype=rotations.dtype)
        rotvecs[..., 0] = -extension * near
        rotations[:, balls] = rotvec_to_matrix(rotvecs)
        return rotations


def _interpolate_gaps(
    rotations: Float[Tensor, "frames 3 3"], invalid: Bool[Tensor, " frames"], max_gap: float
) -> Float[Tensor, "frames 3 3"]:
    """Interpolate runs of up to `max_gap` invalid rotations along the shortest rotation."""
    rotations = rotations.clone()
    valid = (~invalid).nonzero()[:, 0]
    for before, after in zip(valid[:-1].tolist(), valid[1:].tolist(), strict=True):
        if 1 < after - before <= max_gap:
            turn = matrix_to_rotvec(rotations[before].mT @ rotations[after])
            shares = torch.arange(1, after - before, dtype=turn.dtype) / (after - before)
            rotations[before + 1 : after] = rotations[before] @ rotvec_to_matrix(
                shares[:, None] * turn
            )
    return rotations
