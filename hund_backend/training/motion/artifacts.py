"""Rules that reject frames of captured motion as artifacts of the capture."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...body.kinematics import forward_kinematics
from ...body.model import BodyModel
from ...body.rotations import matrix_to_rotvec
from ...body.skeleton import BODY_JOINTS, JOINT_INDEX, PARENTS
from ...prior.limits import JointLimits
from .capsules import CapsuleBody

LIMIT_TOLERANCE = 0.26  # radians beyond a joint limit
MAX_PRONATION = 2.3  # radians of forearm and hand together, from the thumb to the front
# A fast kick turns the knee by 1,500°/s and a throw the shoulder by more, but neither from one
# frame to the next: jumps of a solver show in the change of the speed.
MAX_ANGULAR_SPEED = 50.0  # rad/s of a joint
MAX_ANGULAR_ACCELERATION = 700.0  # rad/s² of a joint
# Metres by which a limb's axis may lie in another part, since the actor's body shape differs.
MAX_PENETRATION = 0.03


class ArtifactRules:
    """The rules, for clips of our mean body."""

    def __init__(self) -> None:
        self._limits = JointLimits(torch.float64)
        self._capsules = CapsuleBody()
        self._rest = BodyModel.load("keypoints").rest_template.double()

    def violations(
        self, rotations: Float[Tensor, "frames 63 3 3"], fps: float
    ) -> dict[str, Bool[Tensor, " frames"]]:
        """Frames of a clip that violate each rule, by the rule's name."""
        rotations = rotations.double()
        excess = self._limits.excess(rotations[:, 1:]).abs()
        rest = self._rest.expand(len(rotations), -1, -1)
        _, joints = forward_kinematics(rotations, rest, PARENTS)
        return {
            "limits": (excess > LIMIT_TOLERANCE).flatten(1).any(-1),
            "pronation": (self._pronation(rotations) > MAX_PRONATION).any(-1),
            "jump": _jumps(rotations, fps),
            "penetration": (self._capsules.penetration(joints) > MAX_PENETRATION).any(-1),
        }

    def _pronation(self, rotations: Float[Tensor, "frames 63 3 3"]) -> Float[Tensor, "frames 2"]:
        """Twist between upper arm and hand about the forearm, left and right, radians."""
        twist = self._limits.angles(rotations[:, 1:])[..., 2]
        joints = [
            [self._limits.joints.index(JOINT_INDEX[f"{joint}{side}"] - 1) for side in "LR"]
            for joint in ("Lowerarm", "Hand")
        ]
        return twist[:, joints].sum(-2).abs()


def _jumps(rotations: Float[Tensor, "frames 63 3 3"], fps: float) -> Bool[Tensor, " frames"]:
    """Frames at which a joint's speed or acceleration exceeds what a person can do."""
    body = rotations[:, BODY_JOINTS]
    speed = matrix_to_rotvec(body[:-1].mT @ body[1:]) * fps
    fast = (speed.norm(dim=-1) > MAX_ANGULAR_SPEED).any(-1)
    change = ((speed[1:] - speed[:-1]).norm(dim=-1) * fps > MAX_ANGULAR_ACCELERATION).any(-1)
    jumps = torch.zeros(len(rotations), dtype=torch.bool)
    jumps[:-1] |= fast
    jumps[1:] |= fast
    jumps[1:-1] |= change
    return jumps
