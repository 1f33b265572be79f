"""Props: boxes, spheres and cylinders in front of people, behind them and in their hands."""

import numpy as np
from jaxtyping import Float, Int

from .body_template import vertex_normals
from .fabrics import sample_fabric
from .scenery import Scenery
from .surfaces import BACKGROUND, Surface, cloth_material

NUM_CORNERS = 16  # of the outline of a sphere or a cylinder
NUM_PIECES = 16  # of a cylinder, along its axis


def sample_prop(
    center: Float[np.ndarray, "3"],
    size: float,
    scenery: Scenery,
    rng: np.random.Generator,
) -> Surface:
    """Random prop.

    Args:
        center: in the world, metres.
        size: metres, roughly its diameter.
        scenery: for its material.
        rng: random numbers.
    """
    kind = rng.random()
    if kind < 0.5:
        vertices, faces = _box(size * rng.uniform(0.25, 1.2, 3))
    elif kind < 0.7:
        vertices, faces = _sphere(size / 2)
    else:
        vertices, faces = _cylinder(size * rng.uniform(0.03, 0.15), size * rng.uniform(0.8, 4))
    rotated = vertices @ _random_rotation(rng).T
    fabric = sample_fabric(scenery, rng)
    return Surface(
        vertices=(rotated + center).astype(np.float32),
        faces=faces,
        normals=vertex_normals(rotated, faces),
        texture_points=vertices + rng.uniform(-1, 1, 3),
        parts=np.full(len(faces), BACKGROUND),
        material=cloth_material(fabric.albedo, gloss=fabric.gloss, folds=0.05),
    )


def _random_rotation(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Mostly about the vertical, else any rotation."""
    if rng.random() < 0.6:
        angle = rng.uniform(0, 2 * np.pi)
        cosine, sine = np.cos(angle), np.sin(angle)
        return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    matrix, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return matrix * np.linalg.det(matrix)


def _box(
    sides: Float[np.ndarray, "3"],
) -> tuple[Float[np.ndarray, "24 3"], Int[np.ndarray, "12 3"]]:
    """Box whose sides do not share corners, so that its edges are sharp."""
    vertices, faces = [], []
    for axis in range(3):
        for sign in (-1, 1):
            u, v = (
                np.roll(np.eye(3), -axis, axis=0)[1:]
                if axis == 0
                else np.delete(np.eye(3), axis, 0)
            )
            normal = np.eye(3)[axis] * sign
            if np.cross(u, v) @ normal < 0:
                u, v = v, u
            first = len(vertices)
            vertices += [normal - u - v, normal + u - v, normal + u + v, normal - u + v]
            faces += [(first, first + 1, first + 2), (first, first + 2, first + 3)]
    return np.array(vertices) * sides / 2, np.array(faces)


def _sphere(radius: float) -> tuple[Float[np.ndarray, "_ 3"], Int[np.ndarray, "_ 3"]]:
    polar = np.linspace(0, np.pi, NUM_CORNERS // 2 + 1)[:, None]
    angle = np.linspace(0, 2 * np.pi, NUM_CORNERS + 1)
    across = np.sin(polar)
    grid = np.stack(
        (across * np.sin(angle), np.cos(polar) + 0 * angle, across * np.cos(angle)), axis=-1
    )
    return _grid_mesh(grid * radius)


def _cylinder(
    radius: float, length: float
) -> tuple[Float[np.ndarray, "_ 3"], Int[np.ndarray, "_ 3"]]:
    # In pieces: the z-buffer goes through the boxes round triangles: large for long ones.
    along = np.linspace(0.5, -0.5, NUM_PIECES + 1)
    heights = np.array([0.5, *along, -0.5])[:, None] * length
    radii = np.array([0.0, *np.ones_like(along), 0])[:, None] * radius
    angle = np.linspace(0, 2 * np.pi, NUM_CORNERS + 1)
    return _grid_mesh(
        np.stack((radii * np.sin(angle), heights + 0 * angle, radii * np.cos(angle)), axis=-1)
    )


def _grid_mesh(
    grid: Float[np.ndarray, "rows columns 3"],
) -> tuple[Float[np.ndarray, "_ 3"], Int[np.ndarray, "_ 3"]]:
    rows, columns = grid.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.concatenate((np.stack((a, b, c), -1), np.stack((a, c, d), -1)))
    return grid.reshape(-1, 3), faces.reshape(-1, 3)
