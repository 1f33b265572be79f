"""Forward kinematics: from parent-relative rotations to joints in the camera frame."""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor


@cache
def _levels(parents: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Joints by their distance from the root, each level with the places of its parents above it."""
    depths = [0]
    for parent in parents[1:]:
        depths.append(depths[parent] + 1)
    levels = []
    above = [0]
    for depth in range(1, max(depths) + 1):
        joints = [joint for joint, at in enumerate(depths) if at == depth]
        levels.append((joints, [above.index(parents[joint]) for joint in joints]))
        above = joints
    return levels


def forward_kinematics(
    rotations: Float[Tensor, "*batch joints 3 3"],
    rest_joints: Float[Tensor, "*batch joints 3"],
    parents: tuple[int, ...],
) -> tuple[Float[Tensor, "*batch joints 3 3"], Float[Tensor, "*batch joints 3"]]:
    """Orientations and positions of the joints of a posed skeleton.

    Works level by level from the root, so that the number of operations is the depth of the tree
    and not the number of its joints.

    Args:
        rotations: rotation of each joint in its parent's frame, relative to rest; the first is the
            root's own.
        rest_joints: rest positions, metres.
        parents: parent of each joint, -1 for the root; parents come first.

    Returns:
        Orientation of each joint in the frame that the root's rotation leads to, and its position
        there, metres, with the root at its rest position.
    """
    nearest = torch.tensor([max(parent, 0) for parent in parents], device=rest_joints.device)
    offsets = rest_joints - rest_joints[..., nearest, :]
    orientations = [rotations[..., :1, :, :]]
    positions = [rest_joints[..., :1, :]]
    order = [0]
    for joints, places in _levels(parents):
        above = orientations[-1][..., places, :, :]
        moved = (above @ offsets[..., joints, :, None])[..., 0]
        orientations.append(above @ rotations[..., joints, :, :])
        positions.append(positions[-1][..., places, :] + moved)
        order += joints
    back = torch.tensor(order, device=rest_joints.device).argsort()
    return (
        torch.cat(orientations, dim=-3)[..., back, :, :],
        torch.cat(positions, dim=-2)[..., back, :],
    )
