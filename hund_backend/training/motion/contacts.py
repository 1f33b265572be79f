"""Which parts of the feet stand on the ground, by height and speed."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hund_backend.body.kinematics import forward_kinematics
from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import JOINT_INDEX, KEYPOINT_NAMES, PARENTS

SOLES = ("left heel", "left toe", "right heel", "right toe")
HEIGHT = 0.05  # metres above the floor below which a sole may stand on it
SPEED = 0.35  # m/s below which a sole stands: noise of the capture, and feet that roll
FLOOR_SHARE = 0.02  # of a clip's frames that may be below its floor: flicker of the capture


class Soles:
    """Heels and toes of our mean body, rigid with the ankle and the ball of the foot."""

    def __init__(self) -> None:
        body = BodyModel.load("keypoints")
        self.rest = body.rest_template.double()
        none = torch.zeros(16, dtype=torch.float64)
        pose = torch.eye(3, dtype=torch.float64).expand(62, 3, 3)
        body = body.double()
        points = body.keypoints(body(pose, none), "blazepose")
        names = [
            f"{side}_{point}" for side in ("left", "right") for point in ("heel", "foot_index")
        ]
        joints = [f"{joint}{side}" for side in "LR" for joint in ("Ankle", "Ball")]
        self.joints = [JOINT_INDEX[name] for name in joints]
        places = points[[KEYPOINT_NAMES["blazepose"].index(name) for name in names]]
        self.offsets = places - self.rest[self.joints]
        self.rest_height = places[:, 1].min() - self.rest[0, 1]

    def places(
        self, rotations: Float[Tensor, "frames 63 3 3"], translation: Float[Tensor, "frames 3"]
    ) -> Float[Tensor, "frames 4 3"]:
        """Left heel, left toe, right heel, right toe in the world, metres."""
        rest = self.rest.to(rotations).expand(len(rotations), -1, -1)
        turned, joints = forward_kinematics(rotations, rest, PARENTS)
        offsets = (turned[:, self.joints] @ self.offsets.to(rotations)[..., None])[..., 0]
        return joints[:, self.joints] + offsets - rest[:, :1] + translation[:, None]


def floor_height(soles: Float[Tensor, "frames 4 3"]) -> float:
    """Height of the floor under a clip: what its lowest sole touches, but for some flicker."""
    return float(soles[..., 1].amin(-1).quantile(FLOOR_SHARE))


def contacts(soles: Float[Tensor, "frames 4 3"], fps: float) -> Bool[Tensor, "frames 4"]:
    """Which soles stand on the floor.

    Args:
        soles: places of heels and toes, metres, y up.
        fps: frames a second.
    """
    height = soles[..., 1] - floor_height(soles)
    steps = (soles[1:] - soles[:-1]).norm(dim=-1) * fps
    ends = torch.cat((steps[:1], steps, steps[-1:]))
    speed = torch.minimum(ends[1:], ends[:-1])  # a foot that is about to lift still stands
    return (height < HEIGHT) & (speed < SPEED)
