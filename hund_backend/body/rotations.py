"""Rotations: conversions between matrices, rotation vectors, quaternions and the 6D form.

A thin house-convention layer over roma: any leading batch (none included), quaternions with w
first and w ≥ 0, the 6D form as the first two columns of the matrix, column after column (Zhou et
al., "On the Continuity of Rotation Representations in Neural Networks", CVPR 2019). Every
gradient is finite everywhere, at the identity too.
"""

import roma
import torch
from jaxtyping import Float
from torch import Tensor

SMALLEST_COLUMN = 1e-6  # shorter 6D columns than this are not stretched to unit length


def sixd_to_matrix(sixd: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation whose first two columns are nearest, by Gram-Schmidt, to the two given ones.

    Two parallel columns, or a zero one, name no rotation: the answer is finite but none either.
    """
    columns = sixd.unflatten(-1, (2, 3)).transpose(-1, -2)
    return roma.special_gramschmidt(columns, epsilon=SMALLEST_COLUMN)


def matrix_to_sixd(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 6"]:
    """First two columns, column after column."""
    return matrix[..., :2].transpose(-1, -2).flatten(-2)


def rotvec_to_matrix(rotvec: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation about the vector's direction by its length in radians."""
    # roma flattens the leading axes, so it needs at least one.
    return roma.rotvec_to_rotmat(rotvec[None])[0]


def matrix_to_rotvec(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """The shortest rotation vector, of length 0…π radians."""
    return roma.rotmat_to_rotvec(matrix[None])[0]


def matrix_to_quaternion(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternion, w first and not negative."""
    wxyz = roma.rotmat_to_unitquat(matrix).roll(1, dims=-1)
    return torch.where(wxyz[..., :1] < 0, -wxyz, wxyz)


def quaternion_to_matrix(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation of a quaternion of any length but zero, w first."""
    unit = torch.nn.functional.normalize(quaternion, dim=-1)
    return roma.unitquat_to_rotmat(unit.roll(-1, dims=-1))
