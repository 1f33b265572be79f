"""Surfaces: meshes with materials, of which scenes consist."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .body_template import vertex_normals

BACKGROUND = 0


class Material(NamedTuple):
    """Material of points of a surface."""

    albedo: Float[np.ndarray, "points 3"]  # reflectance, linear
    gloss: Float[np.ndarray, " points"]  # 0 dull … 1 wet
    folds: Float[np.ndarray, " points"]  # strength of folds and bumps
    skin: Float[np.ndarray, " points"]  # 1 where light scatters below the surface


MaterialFunction = Callable[[Float[np.ndarray, "points 3"], Int[np.ndarray, " points"]], Material]


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Mesh in the world (y up, metres); faces are counter-clockwise seen from outside."""

    vertices: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    normals: Float[np.ndarray, "vertices 3"]
    texture_points: Float[np.ndarray, "vertices 3"]  # at which the material is evaluated
    parts: Int[np.ndarray, " faces"]  # labels, indices into PART_NAMES
    material: MaterialFunction  # of texture points on faces


def cloth_sheet(
    vertices: Float[np.ndarray, "rows columns 3"],
    texture_points: Float[np.ndarray, "rows columns 3"],
    parts: Int[np.ndarray, "rows columns"],
    material: MaterialFunction,
    *,
    closed: bool,
) -> Surface:
    """Two-sided cloth from a grid of points; if closed, the last column joins the first."""
    rows, columns = vertices.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    if closed:
        index = np.concatenate((index, index[:, :1]), axis=1)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    front = np.concatenate((np.stack((a, b, c), -1), np.stack((a, c, d), -1))).reshape(-1, 3)
    points = vertices.reshape(-1, 3)
    normals = vertex_normals(points, front)
    labels = parts.ravel()[front[:, 0]]
    return Surface(
        vertices=np.concatenate((points, points)),
        faces=np.concatenate((front, front[:, ::-1] + len(points))),
        normals=np.concatenate((normals, -normals)),
        texture_points=np.tile(texture_points.reshape(-1, 3), (2, 1)),
        parts=np.concatenate((labels, labels)),
        material=material,
    )


def cloth_material(
    albedo: Callable[[np.ndarray, np.ndarray], Float[np.ndarray, "points 3"]],
    *,
    gloss: float,
    folds: float,
) -> MaterialFunction:
    """Material of one cloth everywhere, given its albedo by point and distance down."""

    def material(texture_points: np.ndarray, faces: np.ndarray) -> Material:
        one = np.ones(len(texture_points), np.float32)
        return Material(
            albedo(texture_points, -texture_points[:, 1]), gloss * one, folds * one, 0 * one
        )

    return material
