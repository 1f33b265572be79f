"""Surfaces: meshes with what is painted on them, the stuff that scenes are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .body_template import vertex_normals

BACKGROUND = 0


class Paint(NamedTuple):
    """What points of a surface are made of."""

    albedo: Float[np.ndarray, "points 3"]  # reflectance, linear
    gloss: Float[np.ndarray, " points"]  # 0 dull … 1 wet
    folds: Float[np.ndarray, " points"]  # strength of folds and bumps
    skin: Float[np.ndarray, " points"]  # 1 where light goes under the surface


Painter = Callable[[Float[np.ndarray, "points 3"], Int[np.ndarray, " points"]], Paint]


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A mesh in the world (y up, metres); faces are counter-clockwise seen from outside."""

    vertices: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    normals: Float[np.ndarray, "vertices 3"]
    places: Float[np.ndarray, "vertices 3"]  # where the paint is looked up
    parts: Int[np.ndarray, " faces"]  # labels, indices into PART_NAMES
    paint: Painter  # of places on faces


def sheet(
    vertices: Float[np.ndarray, "rows columns 3"],
    places: Float[np.ndarray, "rows columns 3"],
    parts: Int[np.ndarray, "rows columns"],
    paint: Painter,
    *,
    closed: bool,
) -> Surface:
    """A grid of points as a cloth with two sides; closed: its last column joins its first."""
    rows, columns = vertices.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    if closed:
        index = np.concatenate((index, index[:, :1]), axis=1)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    front = np.concatenate((np.stack((a, b, c), -1), np.stack((a, c, d), -1))).reshape(-1, 3)
    flat = vertices.reshape(-1, 3)
    normals = vertex_normals(flat, front)
    labels = parts.ravel()[front[:, 0]]
    return Surface(
        vertices=np.concatenate((flat, flat)),
        faces=np.concatenate((front, front[:, ::-1] + len(flat))),
        normals=np.concatenate((normals, -normals)),
        places=np.tile(places.reshape(-1, 3), (2, 1)),
        parts=np.concatenate((labels, labels)),
        paint=paint,
    )


def painter_of_cloth(
    paint: Callable[[np.ndarray, np.ndarray], Float[np.ndarray, "points 3"]],
    *,
    gloss: float,
    folds: float,
) -> Painter:
    """The same cloth everywhere, from a function of places and of how far down they are."""

    def painter(places: np.ndarray, faces: np.ndarray) -> Paint:
        one = np.ones(len(places), np.float32)
        return Paint(paint(places, -places[:, 1]), gloss * one, folds * one, 0 * one)

    return painter
