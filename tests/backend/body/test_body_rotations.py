"""Laws of the rotation conversions."""

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
def test_there_and_back_is_the_same_rotation(form, batch):
    matrices = random_matrices(batch)
    again = TO_MATRIX[form](FROM_MATRIX[form](matrices))
    torch.testing.assert_close(again, matrices)


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(TO_MATRIX, 2)))
def test_all_ways_between_forms_agree(one, other):
    matrices = random_matrices((50,))
    detour = TO_MATRIX[one](FROM_MATRIX[one](matrices))
    torch.testing.assert_close(FROM_MATRIX[other](detour), FROM_MATRIX[other](matrices))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", TO_MATRIX)
@pytest.mark.parametrize("angle", [0.0, 1e-8, 1e-4, 1.0, torch.pi - 1e-4, torch.pi])
def test_gradients_are_finite_everywhere(form, angle, dtype):
    matrix = roma.rotvec_to_rotmat(torch.tensor([[0.0, angle, 0.0]], dtype=dtype))[0]
    matrix.requires_grad_()
    given = FROM_MATRIX[form](matrix)
    given.square().sum().backward()
    assert matrix.grad.isfinite().all()
    numbers = given.detach().requires_grad_()
    TO_MATRIX[form](numbers).pow(3).sum().backward()
    assert numbers.grad.isfinite().all()


@pytest.mark.parametrize("form", TO_MATRIX)
def test_gradients_are_true_at_the_identity(form):
    numbers = FROM_MATRIX[form](torch.eye(3, dtype=torch.float64)).requires_grad_()
    # The smallest step of finite differences is larger than roma's small-angle threshold.
    assert torch.autograd.gradcheck(TO_MATRIX[form], numbers, eps=1e-5, atol=1e-4)


def test_sixd_of_nothing_is_finite():
    nothing = torch.zeros(2, 6, requires_grad=True)
    matrices = rotations.sixd_to_matrix(nothing)
    matrices.sum().backward()
    assert matrices.isfinite().all()
    assert nothing.grad.isfinite().all()


def test_sixd_is_the_first_column_then_the_second():
    matrix = random_matrices(())
    sixd = rotations.matrix_to_sixd(matrix)
    torch.testing.assert_close(sixd, torch.cat((matrix[:, 0], matrix[:, 1])))


def test_quaternions_have_w_first_and_not_negative():
    angles = torch.linspace(-6, 6, 25)
    rotvecs = torch.zeros(25, 3)
    rotvecs[:, 2] = angles
    quaternions = rotations.matrix_to_quaternion(rotations.rotvec_to_matrix(rotvecs))
    torch.testing.assert_close(quaternions[:, 0], (angles / 2).cos().abs())
    torch.testing.assert_close(quaternions.norm(dim=-1), torch.ones(25))


def test_a_quaternion_of_any_length_is_the_same_rotation():
    quaternions = rotations.matrix_to_quaternion(random_matrices((9,)))
    torch.testing.assert_close(
        rotations.quaternion_to_matrix(-7 * quaternions),
        rotations.quaternion_to_matrix(quaternions),
    )


def test_a_rotation_vector_turns_by_the_right_hand():
    quarter = rotations.rotvec_to_matrix(torch.tensor([0.0, 0.0, torch.pi / 2]))
    turned = quarter @ torch.tensor([1.0, 0.0, 0.0])
    torch.testing.assert_close(turned, torch.tensor([0.0, 1.0, 0.0]))
