"""Clip pictures: previews of characters, drawn without a graphics card, also in background.

A Blender without a window may have no graphics context, so the small picture is drawn here: the
evaluated triangles are sampled densely enough for a pixel, and the nearest sample is shown.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import bpy
import numpy as np

from . import bone_names

SIZE = 256  # pixels of a preview, both ways
_OVERSAMPLING = 2  # samples of a pixel, both ways
_MARGIN = 0.06  # share of the picture's size around the character
_SIDE_ANGLE, _DOWN_ANGLE = math.radians(30), math.radians(8)  # of the view, from the front
_LIGHT = np.array([-0.45, 0.65, 0.62])  # towards it, in the view's axes: right, up, to the viewer
_AMBIENT = 0.22
_BONE_COLOR = (0.58, 0.36, 0.26)
_BONE_WIDTH = 0.1  # of its length


class _Surface(NamedTuple):
    """Triangles in the world."""

    points: np.ndarray  # (vertices, 3)
    triangles: np.ndarray  # (triangles, 3) int
    colors: np.ndarray  # (triangles, 3), linear RGB


def draw(
    armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph, size: int = SIZE
) -> np.ndarray:
    """Draw a character as evaluated, from the front and a little from the side.

    Args:
        armature: its meshes are drawn, or its bones if it has none.
        depsgraph: in it, armature and meshes must be shown.
        size: pixels in both directions.

    Returns:
        (size, size, 4): sRGB with straight alpha, 0…1, the lowest row first.
    """
    surface = _surface(armature, depsgraph)
    axes = _view_axes(armature.evaluated_get(depsgraph))
    points = surface.points @ axes.T  # right, up, towards the viewer
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    width = size * _OVERSAMPLING
    scale = width * (1 - 2 * _MARGIN) / max(float((high - low).max()), 1e-9)
    points = (points - [*(low + high) / 2, 0]) * scale + [width / 2, width / 2, 0]
    picture = np.zeros((width * width, 4))
    pixels, depths, colors = _samples(points, surface)
    inside = ((pixels >= 0) & (pixels < width)).all(axis=1)
    order = np.argsort(depths[inside], kind="stable")  # of equal indices, the last one is kept
    flat = (pixels[inside, 1] * width + pixels[inside, 0])[order]
    picture[flat, :3], picture[flat, 3] = colors[inside][order], 1
    blocks = picture.reshape(size, _OVERSAMPLING, size, _OVERSAMPLING, 4).mean(axis=(1, 3))
    alpha = blocks[..., 3:]
    color = np.divide(blocks[..., :3], alpha, out=np.zeros_like(blocks[..., :3]), where=alpha > 0)
    return np.concatenate((_srgb(color), alpha), axis=-1).astype(np.float32)


def set_preview(datablock: bpy.types.ID, picture: np.ndarray) -> None:
    """Make a picture, as returned by `draw`, the preview of a datablock."""
    preview = datablock.preview_ensure()
    preview.image_size = picture.shape[1::-1]
    preview.image_pixels_float.foreach_set(picture.ravel())


def _surface(armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> _Surface:
    """Return all triangles of a character's meshes, or of its bones."""
    parts = [
        _mesh_surface(child, depsgraph)
        for child in armature.children
        if child.type == "MESH" and child.data.polygons
    ]
    parts = [part for part in parts if len(part.triangles)] or [
        _bones_surface(armature.evaluated_get(depsgraph))
    ]
    starts = np.cumsum([0, *(len(part.points) for part in parts[:-1])])
    return _Surface(
        np.concatenate([part.points for part in parts]),
        np.concatenate([p.triangles + s for p, s in zip(parts, starts, strict=True)]),
        np.concatenate([part.colors for part in parts]),
    )


def _mesh_surface(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> _Surface:
    evaluated = obj.evaluated_get(depsgraph)
    data = evaluated.data
    points = _array(data.vertices, "co", np.float32, 3)
    matrix = np.array(evaluated.matrix_world)
    triangles = _array(data.loop_triangles, "vertices", np.int32, 3)
    slots = _array(data.loop_triangles, "material_index", np.int32, 1)[:, 0]
    materials = [slot.material for slot in evaluated.material_slots] or [None]
    colors = np.array([m.diffuse_color[:3] if m else (0.5,) * 3 for m in materials])
    colors = colors[np.clip(slots, 0, len(colors) - 1)]
    return _Surface(points @ matrix[:3, :3].T + matrix[:3, 3], triangles, colors)


def _bones_surface(armature: bpy.types.Object) -> _Surface:
    """Return an octahedron for each bone."""
    points, triangles = [], []
    ring = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)]) * _BONE_WIDTH
    matrix = np.array(armature.matrix_world)
    for bone in armature.pose.bones:
        axes, length = np.array(bone.matrix)[:3, :3], bone.length
        local = [(0, 0, 0), *((x, 0.2, z) for x, z in ring), (0, 1, 0)]
        start = 6 * len(points)
        points.append(np.array(local) * length @ axes.T + np.array(bone.head))
        for k in range(4):
            k, after = 1 + k, 1 + (k + 1) % 4
            triangles += [(start, start + k, start + after), (start + 5, start + after, start + k)]
    placed = np.concatenate(points) @ matrix[:3, :3].T + matrix[:3, 3]
    return _Surface(placed, np.array(triangles), np.tile(_BONE_COLOR, (len(triangles), 1)))


def _view_axes(armature: bpy.types.Object) -> np.ndarray:
    """Return the view's axes as rows: right, up, towards the viewer; in the world."""
    front = -np.array(armature.matrix_world)[:3, 1]
    bones = bone_names.find_bones(armature)
    if {"ThighL", "ThighR"} <= bones.keys():
        heads = [armature.pose.bones[bones[f"Thigh{side}"].name].head for side in "LR"]
        left = armature.matrix_world.to_3x3() @ (heads[0] - heads[1])
        front = np.cross(left, (0, 0, 1))
    angle = math.atan2(front[1], front[0]) + _SIDE_ANGLE
    to_viewer = np.array(
        [
            math.cos(angle) * math.cos(_DOWN_ANGLE),
            math.sin(angle) * math.cos(_DOWN_ANGLE),
            math.sin(_DOWN_ANGLE),
        ]
    )
    right = np.array([-math.sin(angle), math.cos(angle), 0])
    return np.stack((right, np.cross(to_viewer, right), to_viewer))


def _samples(points: np.ndarray, surface: _Surface) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels (samples, 2), depths (samples,) and shaded colors (samples, 3).

    Args:
        points: (vertices, 3) in pixels of the view: right, up, towards the viewer.
        surface: its triangles.
    """
    corners = points[surface.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    smooth = np.zeros_like(points)
    for corner in range(3):
        np.add.at(smooth, surface.triangles[:, corner], normals)
    edges = corners[:, :, :2] - np.roll(corners[:, :, :2], 1, axis=1)
    longest = np.linalg.norm(edges, axis=-1).max(axis=1)
    steps = 2 ** np.ceil(np.log2(np.maximum(longest * 1.5, 1))).astype(int)
    pixels, depths, colors = [], [], []
    for count in np.unique(steps):
        chosen = steps == count
        weights = _barycentric(int(count))
        positions = np.einsum("sc,tcx->tsx", weights, corners[chosen]).reshape(-1, 3)
        shading = np.einsum("sc,tcx->tsx", weights, smooth[surface.triangles[chosen]])
        shading /= np.maximum(np.linalg.norm(shading, axis=-1, keepdims=True), 1e-12)
        shading *= np.where(shading[..., 2:] < 0, -1, 1)  # towards the viewer
        light = np.clip(shading @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, None)
        shade = _AMBIENT + (1 - _AMBIENT) * light
        pixels.append(np.floor(positions[:, :2]).astype(int))
        depths.append(positions[:, 2])
        colors.append((shade[..., None] * surface.colors[chosen][:, None]).reshape(-1, 3))
    return np.concatenate(pixels), np.concatenate(depths), np.concatenate(colors)


def _barycentric(count: int) -> np.ndarray:
    """Return the weights of a triangle's corners at the points of a grid, (points, 3)."""
    grid = [(i, j, count - i - j) for i in range(count + 1) for j in range(count + 1 - i)]
    return np.array(grid) / count


def _srgb(linear: np.ndarray) -> np.ndarray:
    low = linear <= 0.0031308
    return np.where(low, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def _array(items: Sequence, name: str, dtype: type, columns: int) -> np.ndarray:
    values = np.empty(len(items) * columns, dtype)
    items.foreach_get(name, values)
    return values.reshape(-1, columns)
