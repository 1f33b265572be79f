"""Laws of the z-buffer: it agrees with casting rays, has no cracks and knows what is near."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hund_backend.body.camera import project
from hund_backend.body.model import BodyModel
from hund_backend.rendering.zbuffer import NEAR, visible_surface

SIZE = (20, 24)
INTRINSICS = torch.tensor([[24.0, 1.5, 12], [0, 26, 10], [0, 0, 1]], dtype=torch.float64)


def soup(generator, count, low=(-1.5, -1.5, 1.0), high=(1.5, 1.5, 4.0)):
    """Triangles that share no vertex."""
    low, high = torch.tensor(low).double(), torch.tensor(high).double()
    vertices = low + (high - low) * torch.rand(3 * count, 3, generator=generator).double()
    return vertices, torch.arange(3 * count).reshape(count, 3)


def rays(intrinsics, size):
    """Direction of the ray of each pixel's centre, z = 1."""
    y, x = torch.meshgrid(*(torch.arange(side) + 0.5 for side in size), indexing="ij")
    pixels = torch.stack((x, y, torch.ones_like(x)), dim=-1).to(intrinsics)
    return pixels @ intrinsics.inverse().T


def cast(vertices, faces, intrinsics, size):
    """Naive twin: every pixel's ray against every face, in space (Moller & Trumbore, 1997)."""
    directions = rays(intrinsics, size)
    face = torch.full(size, -1)
    depth = torch.full(size, torch.inf, dtype=vertices.dtype)
    barycentrics = vertices.new_zeros(*size, 3)
    for index, (a, b, c) in enumerate(vertices[faces]):
        cross = torch.linalg.cross(directions, (c - a).expand_as(directions))
        determinant = cross @ (b - a)
        second = -(cross @ a) / determinant
        turned = torch.linalg.cross(-a, b - a)
        third, hit = directions @ turned / determinant, turned @ (c - a) / determinant
        weights = torch.stack((1 - second - third, second, third), dim=-1)
        # A ray that enters through the front has a positive determinant.
        better = (weights >= 0).all(-1) & (determinant > 0) & (hit >= NEAR) & (hit < depth)
        face[better], depth[better], barycentrics[better] = index, hit[better], weights[better]
    return face, depth, barycentrics


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_zbuffer_agrees_with_casting_a_ray_through_every_pixel(seed, around_the_camera):
    generator = torch.Generator().manual_seed(seed)
    low = (-1.5, -1.5, -2.0 if around_the_camera else 1.0)
    vertices, faces = soup(generator, 40, low=low)
    seen = visible_surface(vertices, faces, INTRINSICS, SIZE)
    face, depth, barycentrics = cast(vertices, faces, INTRINSICS, SIZE)
    torch.testing.assert_close(seen.face, face)
    torch.testing.assert_close(seen.depth, depth, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(seen.barycentrics, barycentrics, rtol=1e-9, atol=1e-9)


def test_zbuffer_barycentrics_give_back_the_point_on_the_ray():
    vertices, faces = soup(torch.Generator().manual_seed(2), 30)
    face, depth, barycentrics = visible_surface(vertices, faces, INTRINSICS, SIZE)
    hit = face >= 0
    points = (barycentrics[..., None] * vertices[faces[face]]).sum(-2)
    torch.testing.assert_close(points[hit], (rays(INTRINSICS, SIZE) * depth[..., None])[hit])


@pytest.mark.parametrize("size", [(64, 64), (100, 128)])
def test_zbuffer_of_a_closed_body_has_no_cracks_in_single_precision(size):
    body = BodyModel.load("low")
    vertices = body.template * torch.tensor([1.0, -1, -1]) + torch.tensor([0.0, 0, 2.0])
    intrinsics = torch.tensor([[1.1 * size[0], 0, size[1] / 2], [0, 1.1 * size[0], size[0] / 2]])
    intrinsics = torch.cat((intrinsics, torch.tensor([[0.0, 0, 1]])))
    # From the front the trunk between hips and shoulders is one solid piece.
    pixels = project(vertices, intrinsics)
    trunk = pixels[(body.part_of_vertex == 2) & (body.template[:, 1].abs() < 0.3)]
    middle = int(trunk[:, 0].mean())
    seen = visible_surface(vertices, body.faces, intrinsics, size)
    rows = slice(int(trunk[:, 1].amin()) + 2, int(trunk[:, 1].amax()) - 2)
    assert (seen.face[rows, middle - 2 : middle + 3] >= 0).all()


def test_zbuffer_covers_a_shared_edge_once_through_the_centres_of_pixels():
    # The diagonal of the square passes through the centres of pixels.
    vertices = torch.tensor([[-1.0, -1, 2], [-1, 1, 2], [1, 1, 2], [1, -1, 2]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    intrinsics = torch.tensor([[16.0, 0, 8], [0, 16, 8], [0, 0, 1]])
    seen = visible_surface(vertices, faces, intrinsics, (16, 16))
    assert (seen.face >= 0).all()
    assert (seen.depth == 2).all()


def test_zbuffer_leaves_out_backs_and_what_is_too_near():
    vertices = torch.tensor([[-9.0, -9, 2], [-9, 9, 2], [9, 0, 2]])
    front, back = torch.tensor([[0, 1, 2]]), torch.tensor([[0, 2, 1]])
    intrinsics = INTRINSICS.float()
    assert (visible_surface(vertices, front, intrinsics, SIZE).face == 0).any()
    empty = visible_surface(vertices, back, intrinsics, SIZE)
    assert (empty.face == -1).all() and empty.depth.isinf().all()
    for depth in (NEAR / 2, -2.0):
        moved = vertices * torch.tensor([1.0, 1, 0]) + torch.tensor([0, 0, depth])
        for faces in (front, back):
            assert (visible_surface(moved, faces, intrinsics, SIZE).face == -1).all()


def test_zbuffer_of_a_batch_is_that_of_each_picture():
    generator = torch.Generator().manual_seed(5)
    vertices, faces = soup(generator, 60)
    vertices = vertices + 0.3 * torch.randn(2, 3, 1, 3, generator=generator).double()
    intrinsics = INTRINSICS.repeat(2, 3, 1, 1)
    intrinsics[..., 0, 2] += torch.rand(2, 3, generator=generator).double()
    together = visible_surface(vertices, faces, intrinsics, SIZE)
    for i in range(2):
        for j in range(3):
            alone = visible_surface(vertices[i, j], faces, intrinsics[i, j], SIZE)
            for many, one in zip(together, alone, strict=True):
                torch.testing.assert_close(many[i, j], one, rtol=1e-12, atol=1e-12)


def test_zbuffer_shifts_with_the_principal_point():
    vertices, faces = soup(torch.Generator().manual_seed(7), 30)
    moved = INTRINSICS.clone()
    moved[0, 2] += 3
    moved[1, 2] -= 2
    face = visible_surface(vertices, faces, INTRINSICS, SIZE).face
    shifted = visible_surface(vertices, faces, moved, SIZE).face
    assert torch.equal(shifted[:-2, 3:], face[2:, :-3])
