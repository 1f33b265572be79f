"""Forward kinematics: from parent-relative rotations to orientations and positions of joints."""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor


@cache
def _levels(parents: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Group joints by their depth below the root.

    Returns:
        For each depth from 1 on, the joints and the indices of their parents in the level above.
    """
    depths = [0]
    for parent in parents[1:]:
        depths.append(depths[parent] + 1)
    levels = []
    previous = [0]
    for depth in range(1, max(depths) + 1):
        joints = [joint for joint, joint_depth in enumerate(depths) if joint_depth == depth]
        levels.append((joints, [previous.index(parents[joint]) for joint in joints]))
        previous = joints
    return levels


def forward_kinematics(
    rotations: Float[Tensor, "*batch joints 3 3"],
    rest_joints: Float[Tensor, "*batch joints 3"],
    parents: tuple[int, ...],
) -> tuple[Float[Tensor, "*batch joints 3 3"], Float[Tensor, "*batch joints 3"]]:
    """Return orientations G and positions c of the joints of a posed skeleton.

    G_j = G_p R_j and c_j = c_p + G_p (c̄_j − c̄_p) with the parent p of joint j; G = R and c = c̄
    at the root. The loop runs over levels of the tree, so that the number of operations is its
    depth and not the number of its joints.

    Args:
        rotations: R, of each joint in its parent's frame, relative to rest; the first is the
            global orientation.
        rest_joints: c̄, rest positions, metres.
        parents: parent of each joint, -1 for the root; parents come first.

    Returns:
        Orientation and position (metres) of each joint in the frame to which the root's rotation
        leads, with the root at its rest position.

    Example:
        >>> quarter_turn = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        >>> rotations = torch.stack([torch.eye(3), quarter_turn, torch.eye(3)])
        >>> rest_joints = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
        >>> forward_kinematics(rotations, rest_joints, (-1, 0, 1))[1]
        tensor([[0., 0., 0.],
                [1., 0., 0.],
                [1., 1., 0.]])
    """
    parent_indices = torch.tensor(
        [max(parent, 0) for parent in parents], device=rest_joints.device
    )
    offsets = rest_joints - rest_joints[..., parent_indices, :]
    orientations = [rotations[..., :1, :, :]]
    positions = [rest_joints[..., :1, :]]
    order = [0]
    for joints, parents_above in _levels(parents):
        parent_orientations = orientations[-1][..., parents_above, :, :]
        rotated = (parent_orientations @ offsets[..., joints, :, None])[..., 0]
        orientations.append(parent_orientations @ rotations[..., joints, :, :])
        positions.append(positions[-1][..., parents_above, :] + rotated)
        order += joints
    index_of_joint = torch.tensor(order, device=rest_joints.device).argsort()
    return (
        torch.cat(orientations, dim=-3)[..., index_of_joint, :, :],
        torch.cat(positions, dim=-2)[..., index_of_joint, :],
    )
