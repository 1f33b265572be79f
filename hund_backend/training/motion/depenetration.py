"""Arms that another person's build puts into our body's trunk or legs, moved out of them."""

import torch
from jaxtyping import Float
from torch import Tensor

from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import JOINT_INDEX

from .capsules import CapsuleBody
from .inverse_kinematics import InverseKinematics, Pulls

ROUNDS = 3  # of moving out and looking again
ARMS = tuple(JOINT_INDEX[f"{name}{side}"] for side in "LR" for name in ("Upperarm", "Lowerarm"))
ENDS = [JOINT_INDEX[f"{name}{side}"] for side in "LR" for name in ("Lowerarm", "Hand", "Middle01")]


class Untangling:
    """Moves arms out of other parts by inverse kinematics, as little as needed.

    A hand that lies in a lap is in the thigh of a person with longer arms; where it lies on the
    thigh is what the pose means.
    """

    def __init__(self) -> None:
        rest = BodyModel.load("keypoints").rest_template
        self._capsules = CapsuleBody()
        self._kinematics = InverseKinematics(rest, ARMS, Pulls(steps=4))

    def freed(self, rotations: Float[Tensor, "frames 63 3 3"]) -> Float[Tensor, "frames 63 3 3"]:
        """The same poses with forearms and hands at the surface of what they were in."""
        freed = rotations.double().clone()
        for _ in range(ROUNDS):
            places = self._kinematics.places(freed)
            moves = self._capsules.way_out(places)
            stuck = moves.flatten(1).any(-1)
            if not stuck.any():
                break
            weights = torch.zeros(int(stuck.sum()), len(JOINT_INDEX), dtype=torch.float64)
            weights[:, ENDS] = 1
            freed[stuck] = self._kinematics.solve(freed[stuck], (places + moves)[stuck], weights)
        return freed.to(rotations)
