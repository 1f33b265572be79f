"""Ground contacts of heels and toes, by height and speed."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...body.kinematics import forward_kinematics
from ...body.model import BodyModel
from ...body.skeleton import JOINT_INDEX, KEYPOINT_NAMES, PARENTS

SOLES = ("left heel", "left toe", "right heel", "right toe")
CONTACT_HEIGHT = 0.05  # metres above the floor below which a sole may be in contact
CONTACT_SPEED = 0.35  # m/s below which a sole is in contact: capture noise, and feet that roll
FLOOR_QUANTILE = 0.02  # share of a clip's frames that may be below its floor: capture noise


class Soles:
    """Heels and toes of our mean body, rigid with the ankle and the ball of the foot."""

    def __init__(self) -> None:
        body = BodyModel.load("keypoints")
        self.rest = body.rest_template.double()
        betas = torch.zeros(16, dtype=torch.float64)
        pose = torch.eye(3, dtype=torch.float64).expand(62, 3, 3)
        body = body.double()
        keypoints = body.keypoints(body(pose, betas), "blazepose")
        names = [
            f"{side}_{point}" for side in ("left", "right") for point in ("heel", "foot_index")
        ]
        joints = [f"{joint}{side}" for side in "LR" for joint in ("Ankle", "Ball")]
        self.joints = [JOINT_INDEX[name] for name in joints]
        soles = keypoints[[KEYPOINT_NAMES["blazepose"].index(name) for name in names]]
        self.offsets = soles - self.rest[self.joints]

    def positions(
        self, rotations: Float[Tensor, "frames 63 3 3"], translation: Float[Tensor, "frames 3"]
    ) -> Float[Tensor, "frames 4 3"]:
        """Left heel, left toe, right heel, right toe in the world, metres."""
        rest = self.rest.to(rotations).expand(len(rotations), -1, -1)
        orientations, joints = forward_kinematics(rotations, rest, PARENTS)
        offsets = (orientations[:, self.joints] @ self.offsets.to(rotations)[..., None])[..., 0]
        return joints[:, self.joints] + offsets - rest[:, :1] + translation[:, None]


def floor_height(soles: Float[Tensor, "frames 4 3"]) -> float:
    """Height of the floor of a clip: a low quantile of its lowest sole."""
    return float(soles[..., 1].amin(-1).quantile(FLOOR_QUANTILE))


def sole_contacts(soles: Float[Tensor, "frames 4 3"], fps: float) -> Bool[Tensor, "frames 4"]:
    """Return which soles are in contact with the floor.

    Args:
        soles: positions of heels and toes, metres, y up.
        fps: frames a second.
    """
    height = soles[..., 1] - floor_height(soles)
    steps = (soles[1:] - soles[:-1]).norm(dim=-1) * fps
    ends = torch.cat((steps[:1], steps, steps[-1:]))
    speed = torch.minimum(ends[1:], ends[:-1])  # a foot that is about to lift is still in contact
    return (height < CONTACT_HEIGHT) & (speed < CONTACT_SPEED)
