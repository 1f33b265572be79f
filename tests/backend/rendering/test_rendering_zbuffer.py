"""Z-buffer: it equals ray casting, has no cracks and culls back and near faces."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hund_backend.body.camera import project
from hund_backend.body.model import BodyModel
from hund_backend.rendering.zbuffer import NEAR, visible_surface

SIZE = (20, 24)
INTRINSICS = torch.tensor([[24.0, 1.5, 12], [0, 26, 10], [0, 0, 1]], dtype=torch.float64)


def random_triangles(generator, count, low=(-1.5, -1.5, 1.0), high=(1.5, 1.5, 4.0)):
    """Random triangles that share no vertex."""
    low, high = torch.tensor(low).double(), torch.tensor(high).double()
    vertices = low + (high - low) * torch.rand(3 * count, 3, generator=generator).double()
    return vertices, torch.arange(3 * count).reshape(count, 3)


def pixel_rays(intrinsics, size):
    """Ray direction of each pixel's center, z = 1."""
    y, x = torch.meshgrid(*(torch.arange(side) + 0.5 for side in size), indexing="ij")
    pixels = torch.stack((x, y, torch.ones_like(x)), dim=-1).to(intrinsics)
    return pixels @ intrinsics.inverse().T


def cast_rays(vertices, faces, intrinsics, size):
    """Reference: every pixel's ray against every face (Moller and Trumbore, 1997)."""
    directions = pixel_rays(intrinsics, size)
    face = torch.full(size, -1)
    depth = torch.full(size, torch.inf, dtype=vertices.dtype)
    barycentrics = vertices.new_zeros(*size, 3)
    for index, (a, b, c) in enumerate(vertices[faces]):
        cross = torch.linalg.cross(directions, (c - a).expand_as(directions))
        determinant = cross @ (b - a)
        second = -(cross @ a) / determinant
        edge_cross = torch.linalg.cross(-a, b - a)
        third, hit = directions @ edge_cross / determinant, edge_cross @ (c - a) / determinant
        weights = torch.stack((1 - second - third, second, third), dim=-1)
        # A ray that enters through the front has a positive determinant.
        nearer = (weights >= 0).all(-1) & (determinant > 0) & (hit >= NEAR) & (hit < depth)
        face[nearer], depth[nearer], barycentrics[nearer] = index, hit[nearer], weights[nearer]
    return face, depth, barycentrics


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_zbuffer_equals_ray_casting(seed, around_the_camera):
    generator = torch.Generator().manual_seed(seed)
    low = (-1.5, -1.5, -2.0 if around_the_camera else 1.0)
    vertices, faces = random_triangles(generator, 40, low=low)
    surface = visible_surface(vertices, faces, INTRINSICS, SIZE)
    face, depth, barycentrics = cast_rays(vertices, faces, INTRINSICS, SIZE)
    torch.testing.assert_close(surface.face, face)
    torch.testing.assert_close(surface.depth, depth, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(surface.barycentrics, barycentrics, rtol=1e-9, atol=1e-9)


def test_zbuffer_barycentrics_give_the_point_on_the_ray():
    vertices, faces = random_triangles(torch.Generator().manual_seed(2), 30)
    face, depth, barycentrics = visible_surface(vertices, faces, INTRINSICS, SIZE)
    hit = face >= 0
    points = (barycentrics[..., None] * vertices[faces[face]]).sum(-2)
    torch.testing.assert_close(points[hit], (pixel_rays(INTRINSICS, SIZE) * depth[..., None])[hit])


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
    surface = visible_surface(vertices, body.faces, intrinsics, size)
    rows = slice(int(trunk[:, 1].amin()) + 2, int(trunk[:, 1].amax()) - 2)
    assert (surface.face[rows, middle - 2 : middle + 3] >= 0).all()


def test_zbuffer_covers_pixel_centers_on_a_shared_edge():
    # The diagonal of the square passes through pixel centers.
    vertices = torch.tensor([[-1.0, -1, 2], [-1, 1, 2], [1, 1, 2], [1, -1, 2]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    intrinsics = torch.tensor([[16.0, 0, 8], [0, 16, 8], [0, 0, 1]])
    surface = visible_surface(vertices, faces, intrinsics, (16, 16))
    assert (surface.face >= 0).all()
    assert (surface.depth == 2).all()


def test_zbuffer_culls_back_faces_and_near_faces():
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


def test_zbuffer_batch_equals_single_images():
    generator = torch.Generator().manual_seed(5)
    vertices, faces = random_triangles(generator, 60)
    vertices = vertices + 0.3 * torch.randn(2, 3, 1, 3, generator=generator).double()
    intrinsics = INTRINSICS.repeat(2, 3, 1, 1)
    intrinsics[..., 0, 2] += torch.rand(2, 3, generator=generator).double()
    batched = visible_surface(vertices, faces, intrinsics, SIZE)
    for i in range(2):
        for j in range(3):
            alone = visible_surface(vertices[i, j], faces, intrinsics[i, j], SIZE)
            for many, one in zip(batched, alone, strict=True):
                torch.testing.assert_close(many[i, j], one, rtol=1e-12, atol=1e-12)


def test_zbuffer_shifts_with_the_principal_point():
    vertices, faces = random_triangles(torch.Generator().manual_seed(7), 30)
    moved = INTRINSICS.clone()
    moved[0, 2] += 3
    moved[1, 2] -= 2
    face = visible_surface(vertices, faces, INTRINSICS, SIZE).face
    shifted = visible_surface(vertices, faces, moved, SIZE).face
    assert torch.equal(shifted[:-2, 3:], face[2:, :-3])
