"""Mesh overlay: software rendering by a z-buffer with smooth shading, NumPy only."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int, Int32, UInt8

NEAR = 0.05  # metres; faces with a corner nearer than this are left out
OVERLAP_PX = 1e-6  # added to spans, so that rounding leaves no cracks between faces
LIGHT = np.array([-0.35, -0.6, -1.0]) / np.linalg.norm([-0.35, -0.6, -1.0])  # from the upper left
AMBIENT = 0.35  # brightness of a surface that faces away from the light


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """Surface to render, as a camera sees it."""

    vertices: Float[np.ndarray, "vertices 3"]  # camera frame, metres
    pixels: Float[np.ndarray, "vertices 2"]  # projections of the vertices
    faces: Int[np.ndarray, "faces 3"]  # counter-clockwise seen from outside
    colors: Float[np.ndarray, "faces 3"]  # RGB, 0…1


class FaceMap(NamedTuple):
    """Visible face at every pixel's center."""

    face: Int32[np.ndarray, "height width"]  # index of the nearest face, -1 where there is none
    inverse_depth: Float32[np.ndarray, "height width"]  # 1/m, 0 where there is no face


class _Fragments(NamedTuple):
    """Pixels covered by faces, one entry per pixel and face."""

    face: Int[np.ndarray, " covered"]
    x: Int[np.ndarray, " covered"]
    y: Int[np.ndarray, " covered"]


def visible_faces(
    pixels: Float[np.ndarray, "vertices 2"],
    depths: Float[np.ndarray, " vertices"],
    faces: Int[np.ndarray, "faces 3"],
    width: int,
    height: int,
) -> FaceMap:
    """Find the face visible at each pixel's center, exact up to rounding.

    Back faces are culled.

    Args:
        pixels: projections of the vertices; the center of the first pixel is (0.5, 0.5).
        depths: z of the vertices in the camera frame, metres.
        faces: corners of each face, counter-clockwise seen from outside.
        width: of the image, pixels.
        height: of the image, pixels.
    """
    corners = pixels[faces]
    # y points down, so a triangle that looks counter-clockwise has a negative area.
    is_visible = (_doubled_areas(corners) < 0) & (depths[faces] > NEAR).all(axis=1)
    ids = np.flatnonzero(is_visible)
    fragments = _scan_convert(corners[ids], width, height)
    at_corners = 1 / depths[faces[ids]]
    # Planes of slivers are mostly rounding error: clip to the range of the corners.
    low, high = at_corners.min(axis=1)[fragments.face], at_corners.max(axis=1)[fragments.face]
    planes = _planes(corners[ids], at_corners)
    inverse_depths = np.clip(_evaluate(planes, fragments), low, high).astype(np.float32)
    nearest = np.zeros(height * width, np.float32)
    index = fragments.y * width + fragments.x
    np.maximum.at(nearest, index, inverse_depths)
    face = np.full(height * width, -1, np.int32)
    is_nearest = inverse_depths == nearest[index]
    face[index[is_nearest]] = ids[fragments.face[is_nearest]]
    return FaceMap(face.reshape(height, width), nearest.reshape(height, width))


def draw_meshes(
    image: UInt8[np.ndarray, "height width 3"], meshes: list[Mesh], opacity: float
) -> UInt8[np.ndarray, "height width 3"]:
    """Return a copy of the image with shaded meshes drawn over it.

    Args:
        image: RGB.
        meshes: surfaces; nearer ones occlude farther ones.
        opacity: 0…1 of the meshes.
    """
    result = image.copy()
    if not meshes:
        return result
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = np.concatenate([m.faces + offset for m, offset in zip(meshes, offsets, strict=False)])
    pixels = np.concatenate([mesh.pixels for mesh in meshes])
    depths = np.concatenate([mesh.vertices[:, 2] for mesh in meshes])
    height, width = image.shape[:2]
    face, _ = visible_faces(pixels, depths, faces, width, height)
    y, x = np.nonzero(face >= 0)
    visible = face[y, x]
    light = np.concatenate([_brightness(mesh.vertices, mesh.faces) for mesh in meshes])
    used, compact = np.unique(visible, return_inverse=True)
    planes = _planes(pixels[faces[used]], light[faces[used]])
    brightness = np.clip(_evaluate(planes, _Fragments(compact, x, y)), 0, 1)
    colors = np.concatenate([mesh.colors for mesh in meshes])[visible] * brightness[:, None] * 255
    result[y, x] = np.rint((1 - opacity) * image[y, x] + opacity * colors).astype(np.uint8)
    return result


def _brightness(
    vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]
) -> Float[np.ndarray, " vertices"]:
    """Return the Lambertian brightness of each vertex, 0…1, under a light fixed to the camera."""
    first, second, third = vertices[faces].swapaxes(0, 1)
    face_normals = np.cross(second - first, third - first)
    normals = np.stack(
        [
            sum(np.bincount(faces[:, c], face_normals[:, k], len(vertices)) for c in range(3))
            for k in range(3)
        ],
        axis=-1,
    )
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    return AMBIENT + (1 - AMBIENT) * np.clip(normals @ LIGHT, 0, 1)


def _doubled_areas(corners: Float[np.ndarray, "faces 3 2"]) -> Float[np.ndarray, " faces"]:
    """Return twice the signed areas of triangles."""
    (ax, ay), (bx, by) = ((corners[:, k] - corners[:, 0]).T for k in (1, 2))
    return ax * by - ay * bx


def _planes(
    corners: Float[np.ndarray, "faces 3 2"], values: Float[np.ndarray, "faces 3"]
) -> Float[np.ndarray, "faces 3"]:
    """Return a, b, c of each face such that a·x + b·y + c has the given values at its corners."""
    (ax, ay), (bx, by) = ((corners[:, k] - corners[:, 0]).T for k in (1, 2))
    da, db = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    area = ax * by - ay * bx
    slope_x = (da * by - db * ay) / area
    slope_y = (db * ax - da * bx) / area
    at_origin = values[:, 0] - slope_x * corners[:, 0, 0] - slope_y * corners[:, 0, 1]
    return np.stack([slope_x, slope_y, at_origin], axis=-1)


def _evaluate(
    planes: Float[np.ndarray, "faces 3"], fragments: _Fragments
) -> Float[np.ndarray, " covered"]:
    """Return the values of the faces' planes at pixel centers."""
    a, b, c = planes[fragments.face].T
    return a * (fragments.x + 0.5) + b * (fragments.y + 0.5) + c


def _scan_convert(corners: Float[np.ndarray, "faces 3 2"], width: int, height: int) -> _Fragments:
    """Return the pixels whose centers lie in triangles of negative area.

    Scan conversion: rows of each triangle, then the span of each row between its edges.
    """
    ys = corners[..., 1]
    face, row = _runs(ys.min(axis=1), ys.max(axis=1), height)
    y = row + 0.5
    left, right = np.full(len(face), -np.inf), np.full(len(face), np.inf)
    for start in range(3):
        x0, y0 = corners[face, start].T
        dx, dy = corners[face, (start + 1) % 3].T - (x0, y0)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = x0 + dx / dy * (y - y0)
        left = np.where(dy > 0, np.maximum(left, crossing), left)
        right = np.where(dy < 0, np.minimum(right, crossing), right)
    span, x = _runs(left - OVERLAP_PX, right + OVERLAP_PX, width)
    return _Fragments(face[span], x, row[span])


def _runs(
    low: Float[np.ndarray, " runs"], high: Float[np.ndarray, " runs"], size: int
) -> tuple[Int[np.ndarray, " entries"], Int[np.ndarray, " entries"]]:
    """Return the run and the value of each integer k of 0…size − 1 with low ≤ k + 0.5 ≤ high."""
    first = np.clip(np.ceil(low - 0.5), 0, size).astype(np.int64)
    last = np.clip(np.floor(high - 0.5), -1, size - 1).astype(np.int64)
    counts = np.maximum(last - first + 1, 0)
    run = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return run, first[run] + np.arange(len(run)) - before[run]
