"""Position transfer: joint rotations of our body from positions of another one's joints."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from ...body.rotations import matrix_to_rotvec, rotvec_to_matrix
from ...body.skeleton import JOINT_INDEX
from ...prior.limits import elbow_axis
from .limb_roll import hinged
from .packs import POINTS
from .rotation_transfer import (
    CLAVICLE_SHARE,
    arm_bent_backwards,
    interpolate_rotation,
    knee_axis,
    parent_relative,
    swing_to,
)


def rotations_of_positions(
    positions: Float[Tensor, "frames points 3"], rest_joints: Float[Tensor, "63 3"]
) -> Float[Tensor, "frames 63 3 3"]:
    """Return parent-relative rotations with which our limbs point where the positions' do.

    Positions leave the turn of the head about itself and of the hands open: the head turns with
    the chest, hands continue their forearms.

    Args:
        positions: in the order of `POINTS`, world with y up, metres.
        rest_joints: our joints at rest, body frame.
    """
    point = {name: positions[:, index] for index, name in enumerate(POINTS)}
    rest = rest_joints.double()
    pelvis = _frames(
        point["l_hip"] - point["r_hip"], point["spine"] - point["pelvis"]
    ) @ _rest_frame(rest, ("ThighL", "ThighR"), ("Spine03", "Pelvis"))
    chest = _frames(
        point["l_shoulder"] - point["r_shoulder"], point["neck"] - point["spine"], up_first=True
    ) @ _rest_frame(rest, ("UpperarmL", "UpperarmR"), ("Neck01", "Spine03"), up_first=True)
    skull = rest[JOINT_INDEX["Head01"]] - rest[JOINT_INDEX["Neck01"]]
    head = chest @ swing_to(skull, chest, point["head"] - point["neck"])
    world = {
        "Pelvis": pelvis,
        "Spine01": interpolate_rotation(pelvis, chest, 1 / 3),
        "Spine02": interpolate_rotation(pelvis, chest, 2 / 3),
        "Spine03": chest,
        "Neck01": interpolate_rotation(chest, head, 1 / 2),
        "Head01": head,
    }
    for side in "LR":
        world |= _leg(point, side, rest, pelvis)
        world |= _arm(point, side, rest, chest)
    return parent_relative(world)


def _leg(
    point: dict[str, Tensor], side: str, rest: Tensor, pelvis: Tensor
) -> dict[str, Float[Tensor, "frames 3 3"]]:
    """World orientations of a leg's joints; the foot bends about the knee's axis."""
    hip, knee, ankle, toe = (
        point[f"{side.lower()}_{name}"] for name in ("hip", "knee", "ankle", "toe")
    )
    bones = _bones(rest, ("Thigh", "Calf", "Ankle", "Ball"), side)
    thigh = pelvis @ swing_to(bones[0], pelvis, knee - hip)
    thigh = hinged(thigh, ankle - knee, bones[0], knee_axis(side))
    calf = thigh @ swing_to(bones[1], thigh, ankle - knee)
    foot = calf @ swing_to(bones[2], calf, toe - ankle)
    return {f"Thigh{side}": thigh, f"Calf{side}": calf, f"Ankle{side}": foot}


def _arm(
    point: dict[str, Tensor], side: str, rest: Tensor, chest: Tensor
) -> dict[str, Float[Tensor, "frames 3 3"]]:
    """World orientations of an arm's joints and its clavicle."""
    shoulder, elbow, wrist = (
        point[f"{side.lower()}_{name}"] for name in ("shoulder", "elbow", "wrist")
    )
    bones = _bones(rest, ("Upperarm", "Lowerarm", "Hand"), side)
    swing = swing_to(bones[0], chest, elbow - shoulder)
    rising = matrix_to_rotvec(swing) * torch.tensor([0.0, CLAVICLE_SHARE, CLAVICLE_SHARE])
    clavicle = chest @ rotvec_to_matrix(rising)
    upper = clavicle @ swing_to(bones[0], clavicle, elbow - shoulder)
    direction = wrist - elbow
    rolled = hinged(upper, direction, bones[0], elbow_axis(side))
    backwards = arm_bent_backwards(clavicle, rolled, direction, bones[0])
    rolled = torch.where(backwards[:, None, None], upper, rolled)
    lower = rolled @ swing_to(bones[1], rolled, direction)
    return {f"Clavicle{side}": clavicle, f"Upperarm{side}": rolled, f"Lowerarm{side}": lower}


def _bones(rest: Tensor, joints: tuple[str, ...], side: str) -> list[Float[Tensor, " 3"]]:
    """Vectors at rest from each joint of a limb to the next."""
    points = [rest[JOINT_INDEX[f"{name}{side}"]] for name in joints]
    return [end - start for start, end in pairwise(points)]


def _frames(
    left: Float[Tensor, "*batch 3"], up: Float[Tensor, "*batch 3"], *, up_first: bool = False
) -> Float[Tensor, "*batch 3 3"]:
    """Frames (columns: left, up, front) of a trunk; its first direction is kept."""
    first, second = (up, left) if up_first else (left, up)
    first = first / first.norm(dim=-1, keepdim=True)
    second = second - (second * first).sum(-1, keepdim=True) * first
    second = second / second.norm(dim=-1, keepdim=True)
    left, up = (second, first) if up_first else (first, second)
    return torch.stack((left, up, torch.linalg.cross(left, up)), dim=-1)


def _rest_frame(
    rest: Tensor, across: tuple[str, str], along: tuple[str, str], *, up_first: bool = False
) -> Float[Tensor, "3 3"]:
    """Inverse of the frame of our trunk at rest."""
    left = rest[JOINT_INDEX[across[0]]] - rest[JOINT_INDEX[across[1]]]
    up = rest[JOINT_INDEX[along[0]]] - rest[JOINT_INDEX[along[1]]]
    return _frames(left, up, up_first=up_first).mT
