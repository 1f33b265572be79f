"""Laws of Procrustes alignment: round trips, no reflections, weights, and degenerate points."""

import pytest
import roma
import torch

from hund_backend.body.procrustes import aligning_rotation, similarity_aligned

FRAMES, POINTS = 4, 9
FACING = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
seeds = pytest.mark.parametrize("seed", range(5))


def random_points(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, 3, generator=generator, dtype=torch.float64)


def random_rotations(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return roma.random_rotmat(shape, dtype=torch.float64, generator=generator)


def random_weights(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def assert_rotations(matrices):
    eye = torch.eye(3, dtype=matrices.dtype).expand_as(matrices)
    torch.testing.assert_close(matrices @ matrices.mT, eye)
    torch.testing.assert_close(torch.det(matrices), torch.ones_like(matrices[..., 0, 0]))


@seeds
def test_similarity_round_trip(seed):
    source, rotation = random_points(seed, FRAMES, POINTS), random_rotations(seed, FRAMES)
    target = 2.5 * source @ rotation.mT + torch.tensor([1.0, -20.0, 300.0])
    weights = random_weights(seed, FRAMES, POINTS) + 0.01
    torch.testing.assert_close(similarity_aligned(source, target), target)
    torch.testing.assert_close(similarity_aligned(source, target, weights), target)
    torch.testing.assert_close(aligning_rotation(source, target, weights), rotation)


@seeds
def test_alignment_agrees_with_roma(seed):
    source, target = random_points(seed, FRAMES, POINTS), random_points(seed + 1, FRAMES, POINTS)
    weights = random_weights(seed, FRAMES, POINTS) + 0.01
    rotation, shift, scale = roma.rigid_points_registration(
        source, target, weights, compute_scaling=True
    )
    expected = scale[:, None, None] * source @ rotation.mT + shift[:, None]
    torch.testing.assert_close(similarity_aligned(source, target, weights), expected)


@seeds
def test_no_rotation_near_the_best_is_better(seed):
    source, target = random_points(seed, FRAMES, POINTS), random_points(seed + 1, FRAMES, POINTS)
    weights = random_weights(seed, FRAMES, POINTS) + 0.01
    best = aligning_rotation(source, target, weights)

    def cost(rotation):
        difference = target - source @ rotation.mT
        mean = (weights[..., None] * difference).sum(1, keepdim=True) / weights.sum(1)[
            :, None, None
        ]
        return (weights[..., None] * (difference - mean).square()).sum((1, 2))

    for axis in range(3):
        for angle in (0.01, -0.01):
            rotvec = torch.zeros(FRAMES, 3, dtype=torch.float64)
            rotvec[:, axis] = angle
            assert (cost(roma.rotvec_to_rotmat(rotvec) @ best) >= cost(best) - 1e-12).all()


@seeds
def test_mirror_images_are_not_aligned_by_a_reflection(seed):
    source = random_points(seed, FRAMES, POINTS)
    mirrored = source * torch.tensor([-1.0, 1.0, 1.0])
    assert_rotations(aligning_rotation(source, mirrored))
    assert (similarity_aligned(source, mirrored) - mirrored).norm(dim=-1).mean() > 0.05


def test_flat_points_are_aligned_by_a_rotation():
    source = random_points(0, FRAMES, POINTS) * torch.tensor([1.0, 1.0, 0.0])
    rotation = random_rotations(1, FRAMES)
    torch.testing.assert_close(aligning_rotation(source, source @ rotation.mT), rotation)


@seeds
def test_a_weight_of_zero_leaves_a_point_out(seed):
    source, target = random_points(seed, FRAMES, POINTS), random_points(seed + 1, FRAMES, POINTS)
    weights = torch.ones(FRAMES, POINTS, dtype=torch.float64)
    weights[:, -2:] = 0
    torch.testing.assert_close(
        similarity_aligned(source, target, weights)[:, :-2],
        similarity_aligned(source[:, :-2], target[:, :-2]),
    )


@seeds
def test_a_weight_of_two_counts_a_point_twice(seed):
    source, target = random_points(seed, FRAMES, POINTS), random_points(seed + 1, FRAMES, POINTS)
    weights = torch.ones(FRAMES, POINTS, dtype=torch.float64)
    weights[:, 0] = 2
    doubled = [torch.cat((points, points[:, :1]), dim=1) for points in (source, target)]
    torch.testing.assert_close(
        aligning_rotation(source, target, weights), aligning_rotation(*doubled)
    )


def test_coinciding_source_points_land_on_the_mean_of_the_target():
    target = random_points(2, FRAMES, POINTS)
    aligned = similarity_aligned(torch.full_like(target, 7.0), target)
    torch.testing.assert_close(aligned, target.mean(1, keepdim=True).expand_as(target))


@pytest.mark.parametrize("count", [0, 1, POINTS])
def test_degenerate_points_give_finite_results(count):
    source, target = random_points(3, FRAMES, POINTS), random_points(4, FRAMES, POINTS)
    if count == POINTS:  # collinear
        source, target = source[..., :1] * torch.ones(3), target[..., :1] * torch.ones(3)
    weights = (torch.arange(POINTS) < count).double().expand(FRAMES, -1)
    assert_rotations(aligning_rotation(source, target, weights))
    assert similarity_aligned(source, target, weights).isfinite().all()


def test_the_prior_decides_only_where_points_do_not():
    source, rotation = random_points(5, POINTS), random_rotations(6, FRAMES)
    target = source @ rotation.mT
    weights = torch.ones(FRAMES, POINTS, dtype=torch.float64)
    weights[0] = 0
    found = aligning_rotation(source, target, weights, prior=1e-6 * FACING)
    torch.testing.assert_close(found[0], FACING)
    torch.testing.assert_close(found[1:], rotation[1:], atol=1e-5, rtol=0)


def test_one_set_of_source_points_serves_every_frame():
    source, target = random_points(7, POINTS), random_points(8, FRAMES, POINTS)
    expected = torch.stack([aligning_rotation(source, frame) for frame in target])
    torch.testing.assert_close(aligning_rotation(source, target), expected)


def test_the_rotation_does_not_depend_on_the_origin_of_the_source():
    source, target = random_points(9, FRAMES, POINTS), random_points(10, FRAMES, POINTS)
    weights = random_weights(11, FRAMES, POINTS)
    torch.testing.assert_close(
        aligning_rotation(source + 3.0, target, weights),
        aligning_rotation(source, target, weights),
    )


def test_rotations_have_finite_gradients():
    source = random_points(12, FRAMES, POINTS).requires_grad_(True)
    aligning_rotation(source, source.detach()).sum().backward()
    assert source.grad.isfinite().all()
