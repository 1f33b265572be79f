"""Mesh overlay: it equals ray casting, and nearer meshes occlude farther ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hund_backend.rendering.mesh_overlay import NEAR, Mesh, draw_meshes, visible_faces

WIDTH, HEIGHT, FOCAL = 24, 20, 24.0


def project(vertices):
    return vertices[:, :2] / vertices[:, 2:] * FOCAL + (WIDTH / 2, HEIGHT / 2)


def cube(center, rng):
    """Closed mesh of 12 faces in a random orientation; normals point outwards."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    faces = []
    for axis in range(3):
        for side in (-1, 1):
            square = corners[:, axis] == side
            middle = np.flatnonzero(square)
            first, second, third, fourth = middle[[0, 1, 3, 2]]
            for face in ((first, second, third), (first, third, fourth)):
                a, b, c = corners[list(face)]
                outwards = np.cross(b - a, c - a)[axis] * side > 0
                faces.append(face if outwards else face[::-1])
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    return corners @ turn.T * 0.5 + center, np.array(faces)


def cast_rays(vertices, faces):
    """Reference: ray and plane of every front face, for every pixel."""
    face_map = np.full((HEIGHT, WIDTH), -1)
    depth_map = np.zeros((HEIGHT, WIDTH))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            ray = np.array([(x + 0.5 - WIDTH / 2) / FOCAL, (y + 0.5 - HEIGHT / 2) / FOCAL, 1])
            for index, (a, b, c) in enumerate(vertices[faces]):
                normal = np.cross(b - a, c - a)
                slope = normal @ ray
                if slope >= 0:  # faces away
                    continue
                depth = normal @ a / slope
                hit = ray * depth
                inside = all(
                    np.cross(q - p, hit - p) @ normal >= 0 for p, q in ((a, b), (b, c), (c, a))
                )
                if inside and depth > 0 and 1 / depth > depth_map[y, x]:
                    face_map[y, x], depth_map[y, x] = index, 1 / depth
    return face_map, depth_map


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10_000))
def test_visible_faces_equal_ray_casting(seed):
    rng = np.random.default_rng(seed)
    bodies = [cube(rng.uniform((-1, -1, 2.5), (1, 1, 5)), rng) for _ in range(2)]
    vertices = np.concatenate([body[0] for body in bodies])
    faces = np.concatenate([bodies[0][1], bodies[1][1] + 8])
    found = visible_faces(project(vertices), vertices[:, 2], faces, WIDTH, HEIGHT)
    face, inverse_depth = cast_rays(vertices, faces)
    # A center on an edge may belong to either face: of all 10,001 seeds two have one such pixel.
    agree = found.face == face
    assert (~agree).sum() <= 3
    np.testing.assert_allclose(found.inverse_depth[agree], inverse_depth[agree], atol=1e-4)


def test_closed_mesh_has_no_cracks():
    rng = np.random.default_rng(0)
    vertices, faces = cube(np.array([0, 0, 1.4]), rng)
    found = visible_faces(project(vertices), vertices[:, 2], faces, WIDTH, HEIGHT)
    for row in found.face >= 0:
        assert np.abs(np.diff(row.astype(int))).sum() <= 2  # convex: one run per row


def test_meshes_outside_the_view_are_not_drawn():
    rng = np.random.default_rng(1)
    for center in ([50, 0, 3], [0, -50, 3], [0, 0, -3], [0, 0, NEAR]):
        vertices, faces = cube(np.array(center, float), rng)
        found = visible_faces(project(vertices), vertices[:, 2], faces, WIDTH, HEIGHT)
        assert (found.face[:, 0] >= -1).all()
        if center[2] != NEAR:
            assert (found.face == -1).all()


@pytest.mark.parametrize("opacity", [0.0, 0.6, 1.0])
def test_near_mesh_occludes_far_one_and_background_is_unchanged(opacity):
    rng = np.random.default_rng(2)
    image = rng.integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    meshes = []
    for depth, color in ((5.0, (0, 1, 0)), (3.0, (1, 0, 0))):
        vertices, faces = cube(np.array([0, 0, depth]), rng)
        colors = np.tile(np.array(color, float), (len(faces), 1))
        mesh = Mesh(vertices=vertices, pixels=project(vertices), faces=faces, colors=colors)
        meshes.append(mesh)
    result = draw_meshes(image, meshes, opacity)
    assert (result[0, 0] == image[0, 0]).all()
    if opacity == 1:
        red, green, blue = result[HEIGHT // 2, WIDTH // 2]
        assert red > 50
        assert green == blue == 0
    if opacity == 0:
        np.testing.assert_array_equal(result, image)


def test_without_meshes_the_image_is_unchanged():
    image = np.full((4, 4, 3), 7, np.uint8)
    np.testing.assert_array_equal(draw_meshes(image, [], 0.5), image)
