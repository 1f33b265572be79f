"""Rotation conversions."""

import itertools

import pytest
import roma
import torch

from hund_backend.body import rotations

TO_MATRIX = {
    "sixd": rotations.sixd_to_matrix,
    "rotvec": rotations.rotvec_to_matrix,
    "quaternion": rotations.quaternion_to_matrix,
}
FROM_MATRIX = {
    "sixd": rotations.matrix_to_sixd,
    "rotvec": rotations.matrix_to_rotvec,
    "quaternion": rotations.matrix_to_quaternion,
}
BATCHES = [(), (4,), (2, 3), (0,)]


def random_matrices(batch, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    return roma.rotvec_to_rotmat(torch.randn(*batch, 1, 3, generator=generator, dtype=dtype))[
        ..., 0, :, :
    ]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("form", TO_MATRIX)
def test_round_trip_is_the_same_rotation(form, batch):
    matrices = random_matrices(batch)
    converted = TO_MATRIX[form](FROM_MATRIX[form](matrices))
    torch.testing.assert_close(converted, matrices)


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(TO_MATRIX, 2)))
def test_all_conversion_paths_agree(first, second):
    matrices = random_matrices((50,))
    converted = TO_MATRIX[first](FROM_MATRIX[first](matrices))
    torch.testing.assert_close(FROM_MATRIX[second](converted), FROM_MATRIX[second](matrices))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", TO_MATRIX)
@pytest.mark.parametrize("angle", [0.0, 1e-8, 1e-4, 1.0, torch.pi - 1e-4, torch.pi])
def test_gradients_are_finite_everywhere(form, angle, dtype):
    matrix = roma.rotvec_to_rotmat(torch.tensor([[0.0, angle, 0.0]], dtype=dtype))[0]
    matrix.requires_grad_()
    values = FROM_MATRIX[form](matrix)
    values.square().sum().backward()
    assert matrix.grad.isfinite().all()
    inputs = values.detach().requires_grad_()
    TO_MATRIX[form](inputs).pow(3).sum().backward()
    assert inputs.grad.isfinite().all()


@pytest.mark.parametrize("form", TO_MATRIX)
def test_gradients_at_the_identity_equal_finite_differences(form):
    inputs = FROM_MATRIX[form](torch.eye(3, dtype=torch.float64)).requires_grad_()
    # The smallest step of finite differences is larger than roma's small-angle threshold.
    assert torch.autograd.gradcheck(TO_MATRIX[form], inputs, eps=1e-5, atol=1e-4)


def test_sixd_of_zero_columns_is_finite():
    zeros = torch.zeros(2, 6, requires_grad=True)
    matrices = rotations.sixd_to_matrix(zeros)
    matrices.sum().backward()
    assert matrices.isfinite().all()
    assert zeros.grad.isfinite().all()


def test_sixd_is_first_column_then_second():
    matrix = random_matrices(())
    sixd = rotations.matrix_to_sixd(matrix)
    torch.testing.assert_close(sixd, torch.cat((matrix[:, 0], matrix[:, 1])))


def test_quaternions_have_nonnegative_w_first():
    angles = torch.linspace(-6, 6, 25)
    rotvecs = torch.zeros(25, 3)
    rotvecs[:, 2] = angles
    quaternions = rotations.matrix_to_quaternion(rotations.rotvec_to_matrix(rotvecs))
    torch.testing.assert_close(quaternions[:, 0], (angles / 2).cos().abs())
    torch.testing.assert_close(quaternions.norm(dim=-1), torch.ones(25))


def test_quaternion_scale_does_not_matter():
    quaternions = rotations.matrix_to_quaternion(random_matrices((9,)))
    torch.testing.assert_close(
        rotations.quaternion_to_matrix(-7 * quaternions),
        rotations.quaternion_to_matrix(quaternions),
    )


def test_rotation_vectors_are_right_handed():
    quarter_turn = rotations.rotvec_to_matrix(torch.tensor([0.0, 0.0, torch.pi / 2]))
    rotated = quarter_turn @ torch.tensor([1.0, 0.0, 0.0])
    torch.testing.assert_close(rotated, torch.tensor([0.0, 1.0, 0.0]))
