"""Rotations: conversions between matrices, rotation vectors, quaternions and the 6D form.

Conventions of this project over roma: any leading batch (none included), quaternions with w first
and w ≥ 0, and the 6D form as the first two columns of the matrix, column after column (Zhou et al.,
"On the Continuity of Rotation Representations in Neural Networks", CVPR 2019). All gradients are
finite everywhere, at the identity too.
"""

import roma
import torch
from jaxtyping import Float
from torch import Tensor

MIN_COLUMN_NORM = 1e-6  # shorter 6D columns are not normalized


def sixd_to_matrix(sixd: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation whose first two columns result from two vectors by Gram-Schmidt.

    Parallel or zero vectors define no rotation: the result is finite but not a rotation.

    Example:
        >>> sixd_to_matrix(torch.tensor([2.0, 0.0, 0.0, 5.0, 3.0, 0.0]))
        tensor([[1., 0., 0.],
                [0., 1., 0.],
                [0., 0., 1.]])
    """
    columns = sixd.unflatten(-1, (2, 3)).transpose(-1, -2)
    return roma.special_gramschmidt(columns, epsilon=MIN_COLUMN_NORM)


def matrix_to_sixd(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 6"]:
    """Return the first two columns, column after column.

    Example:
        >>> matrix_to_sixd(torch.arange(9.0).reshape(3, 3))
        tensor([0., 3., 6., 1., 4., 7.])
    """
    return matrix[..., :2].transpose(-1, -2).flatten(-2)


def rotvec_to_matrix(rotvec: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return exp([v]×), the rotation about the direction of v by ‖v‖ radians.

    Example:
        >>> quarter_turn = torch.tensor([0.0, 0.0, torch.pi / 2])
        >>> rotvec_to_matrix(quarter_turn) @ torch.tensor([1.0, 0.0, 5.0])
        tensor([0., 1., 5.])
    """
    # roma flattens the leading axes, so it needs at least one.
    return roma.rotvec_to_rotmat(rotvec[None])[0]


def matrix_to_rotvec(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Return the shortest rotation vector, of length 0…π radians.

    Example:
        >>> matrix_to_rotvec(rotvec_to_matrix(torch.tensor([0.0, 0.25, 0.0])))
        tensor([0.0000, 0.2500, 0.0000])
    """
    return roma.rotmat_to_rotvec(matrix[None])[0]


def matrix_to_quaternion(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Return the unit quaternion (w, x, y, z) with w ≥ 0.

    Example:
        >>> matrix_to_quaternion(torch.eye(3))
        tensor([1., 0., 0., 0.])
    """
    wxyz = roma.rotmat_to_unitquat(matrix).roll(1, dims=-1)
    return torch.where(wxyz[..., :1] < 0, -wxyz, wxyz)


def quaternion_to_matrix(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation of a quaternion (w, x, y, z) of any length but zero.

    Example:
        >>> half_turn_about_z = torch.tensor([0.0, 0.0, 0.0, 2.0])
        >>> quaternion_to_matrix(half_turn_about_z) @ torch.tensor([1.0, 2.0, 3.0])
        tensor([-1., -2.,  3.])
    """
    unit = torch.nn.functional.normalize(quaternion, dim=-1)
    return roma.unitquat_to_rotmat(unit.roll(-1, dims=-1))
