"""Depenetration: moves arms out of trunk and legs where another body shape put them inside."""

import torch
from jaxtyping import Float
from torch import Tensor

from ...body.model import BodyModel
from ...body.skeleton import JOINT_INDEX
from .capsules import CapsuleBody
from .inverse_kinematics import IKConfig, InverseKinematics

ITERATIONS = 3  # of finding and resolving penetrations
ARMS = tuple(JOINT_INDEX[f"{name}{side}"] for side in "LR" for name in ("Upperarm", "Lowerarm"))
ENDS = [JOINT_INDEX[f"{name}{side}"] for side in "LR" for name in ("Lowerarm", "Hand", "Middle01")]


class Depenetration:
    """Moves arms out of other parts by inverse kinematics, as little as needed.

    A hand that lies in a lap is inside the thigh of a person with longer arms; the contact is what
    the pose means.
    """

    def __init__(self) -> None:
        rest = BodyModel.load("keypoints").rest_template
        self._capsules = CapsuleBody()
        self._kinematics = InverseKinematics(rest, ARMS, IKConfig(steps=4))

    def resolve(self, rotations: Float[Tensor, "frames 63 3 3"]) -> Float[Tensor, "frames 63 3 3"]:
        """Return the poses with forearms and hands moved to the surface of what they were in."""
        resolved = rotations.double().clone()
        for _ in range(ITERATIONS):
            joints = self._kinematics.positions(resolved)
            moves = self._capsules.separating_moves(joints)
            inside = moves.flatten(1).any(-1)
            if not inside.any():
                break
            weights = torch.zeros(int(inside.sum()), len(JOINT_INDEX), dtype=torch.float64)
            weights[:, ENDS] = 1
            targets = (joints + moves)[inside]
            resolved[inside] = self._kinematics.solve(resolved[inside], targets, weights)
        return resolved.to(rotations)
