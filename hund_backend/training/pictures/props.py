"""Things: boxes, balls and poles, in front of people, behind them and in their hands."""

import numpy as np
from jaxtyping import Float, Int

from .body_template import vertex_normals
from .fabrics import draw_fabric
from .scenery import Scenery
from .surfaces import BACKGROUND, Surface, painter_of_cloth

ROUND = 16  # corners of a ball's or a pole's outline
PIECES = 16  # of a pole


def draw_thing(
    at: Float[np.ndarray, "3"],
    size: float,
    scenery: Scenery,
    rng: np.random.Generator,
) -> Surface:
    """A random thing.

    Args:
        at: its middle in the world, metres.
        size: metres, roughly its diameter.
        scenery: what it is painted with.
        rng: chance.
    """
    kind = rng.random()
    if kind < 0.5:
        vertices, faces = _box(size * rng.uniform(0.25, 1.2, 3))
    elif kind < 0.7:
        vertices, faces = _ball(size / 2)
    else:
        vertices, faces = _pole(size * rng.uniform(0.03, 0.15), size * rng.uniform(0.8, 4))
    turned = vertices @ _turn(rng).T
    fabric = draw_fabric(scenery, rng)
    return Surface(
        vertices=(turned + at).astype(np.float32),
        faces=faces,
        normals=vertex_normals(turned, faces),
        places=vertices + rng.uniform(-1, 1, 3),
        parts=np.full(len(faces), BACKGROUND),
        paint=painter_of_cloth(fabric.paint, gloss=fabric.gloss, folds=0.05),
    )


def _turn(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """About the vertical; now and then any way."""
    if rng.random() < 0.6:
        angle = rng.uniform(0, 2 * np.pi)
        cosine, sine = np.cos(angle), np.sin(angle)
        return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    matrix, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return matrix * np.linalg.det(matrix)


def _box(
    sides: Float[np.ndarray, "3"],
) -> tuple[Float[np.ndarray, "24 3"], Int[np.ndarray, "12 3"]]:
    """A box whose sides do not share corners, so that its edges are sharp."""
    vertices, faces = [], []
    for axis in range(3):
        for sign in (-1, 1):
            u, v = (
                np.roll(np.eye(3), -axis, axis=0)[1:]
                if axis == 0
                else np.delete(np.eye(3), axis, 0)
            )
            out = np.eye(3)[axis] * sign
            if np.cross(u, v) @ out < 0:
                u, v = v, u
            first = len(vertices)
            vertices += [out - u - v, out + u - v, out + u + v, out - u + v]
            faces += [(first, first + 1, first + 2), (first, first + 2, first + 3)]
    return np.array(vertices) * sides / 2, np.array(faces)


def _ball(radius: float) -> tuple[Float[np.ndarray, "_ 3"], Int[np.ndarray, "_ 3"]]:
    polar = np.linspace(0, np.pi, ROUND // 2 + 1)[:, None]
    angle = np.linspace(0, 2 * np.pi, ROUND + 1)
    across = np.sin(polar)
    grid = np.stack(
        (across * np.sin(angle), np.cos(polar) + 0 * angle, across * np.cos(angle)), axis=-1
    )
    return _grid(grid * radius)


def _pole(radius: float, length: float) -> tuple[Float[np.ndarray, "_ 3"], Int[np.ndarray, "_ 3"]]:
    # In pieces: the z-buffer goes through the boxes round triangles: large for long ones.
    along = np.linspace(0.5, -0.5, PIECES + 1)
    heights = np.array([0.5, *along, -0.5])[:, None] * length
    radii = np.array([0.0, *np.ones_like(along), 0])[:, None] * radius
    angle = np.linspace(0, 2 * np.pi, ROUND + 1)
    return _grid(
        np.stack((radii * np.sin(angle), heights + 0 * angle, radii * np.cos(angle)), axis=-1)
    )


def _grid(
    grid: Float[np.ndarray, "rows columns 3"],
) -> tuple[Float[np.ndarray, "_ 3"], Int[np.ndarray, "_ 3"]]:
    rows, columns = grid.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.concatenate((np.stack((a, b, c), -1), np.stack((a, c, d), -1)))
    return grid.reshape(-1, 3), faces.reshape(-1, 3)
