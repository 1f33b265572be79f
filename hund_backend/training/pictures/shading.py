"""Shading: light, labels and depth of surfaces at every pixel, with the shadows of one lamp."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from ...perception.blazepose import CROP_SIZE_PX
from ...rendering.zbuffer import visible_surface
from .lights import Light
from .noise import Noise
from .surfaces import Material, Surface
from .views import View

SUPERSAMPLING = 2  # samples along each side of a pixel
SHADOW_PX = 160
SHADOW_RADIUS = 1.6  # metres around the center of a scene in which shadows are rendered
LAMP_DISTANCE = 40.0  # metres
BIAS = 0.025  # metres that a point must lie behind another to be in its shadow
OCCLUSION_PX = (2, 7)  # sizes of the neighborhoods of the ambient occlusion


@dataclass(frozen=True, kw_only=True)
class Shaded:
    """Surfaces as rendered by a camera."""

    light: Float[np.ndarray, "height width 3"]  # linear, multiplied by the cover
    cover: Float[np.ndarray, "height width"]  # share of the pixel that shows a surface
    labels: Int[np.ndarray, "height width"]  # the majority of the pixel's samples
    depth: Float[np.ndarray, "height width"]  # metres; infinite without a surface
    target: Bool[np.ndarray, "height width"]  # shows the first surfaces, the person's own


@dataclass(frozen=True, kw_only=True)
class ShadowMap:
    """Depth map of a scene from a light's lamp."""

    light: Light
    rotation: Float[np.ndarray, "3 3"]  # lamp from world
    center: Float[np.ndarray, "3"]  # of the scene, in the world
    depth: Float[np.ndarray, "height width"]
    scale: float = 1.0  # of the scene, over that of a whole person

    def visibility(self, points: Float[np.ndarray, "*shape 3"]) -> Float[np.ndarray, "*shape"]:
        """Share of the lamp's light that reaches points of the world, 0…1."""
        in_lamp = (points - self.center) @ self.rotation.T
        radius = self.scale * SHADOW_RADIUS
        pixel = (in_lamp[..., :2] / radius * 0.5 + 0.5) * SHADOW_PX - 0.5
        column, row = (np.ascontiguousarray(pixel[..., k], np.float32) for k in (0, 1))
        shape = column.shape
        behind = np.zeros(shape, np.float32)
        for across, down in ((-0.7, -0.7), (0.7, -0.7), (-0.7, 0.7), (0.7, 0.7)):
            column_at = np.rint(column + across).astype(int)
            row_at = np.rint(row + down).astype(int)
            inside = (np.minimum(column_at, row_at) >= 0) & (
                np.maximum(column_at, row_at) < SHADOW_PX
            )
            depth = self.depth[row_at * inside, column_at * inside]
            behind += inside & (in_lamp[..., 2] > depth + self.scale * BIAS)
        return 1 - behind / 4


def render_shadow_map(
    surfaces: list[Surface], center: Float[np.ndarray, "3"], light: Light, scale: float = 1.0
) -> ShadowMap:
    """Render the depth of some surfaces from the lamp.

    Args:
        surfaces: that cast shadows.
        center: of the scene, in the world.
        light: with the lamp.
        scale: of the scene, over that of a whole person.
    """
    forward = -light.lamp_direction
    right = np.cross(forward, (0.3, 0.9, 0.1))
    right /= np.linalg.norm(right)
    rotation = np.stack((right, np.cross(forward, right), forward))
    vertices = np.concatenate([surface.vertices for surface in surfaces])
    in_lamp = (vertices - center) @ rotation.T + (0, 0, LAMP_DISTANCE)
    focal = LAMP_DISTANCE / (scale * SHADOW_RADIUS) * SHADOW_PX / 2
    half = SHADOW_PX / 2
    intrinsics = torch.tensor([[focal, 0, half], [0, focal, half], [0, 0, 1]])
    surface = visible_surface(
        torch.from_numpy(in_lamp).float(), _faces(surfaces), intrinsics, (SHADOW_PX, SHADOW_PX)
    )
    return ShadowMap(
        light=light,
        rotation=rotation,
        center=center,
        depth=surface.depth.numpy() - LAMP_DISTANCE,
        scale=scale,
    )


def shade(
    surfaces: list[Surface], num_target: int, view: View, shadow_map: ShadowMap, noise: Noise
) -> Shaded:
    """Render surfaces with a camera under a light.

    Args:
        surfaces: the person's own first.
        num_target: number of the person's own.
        view: of the camera.
        shadow_map: with its light.
        noise: folds and bumps, of three channels.
    """
    own = sum(len(surface.faces) for surface in surfaces[:num_target])
    samples = _rasterize(surfaces, view)
    labels = np.append(np.concatenate([surface.parts for surface in surfaces]), 0)[samples.face]
    labels = labels * (samples.face < own)
    chosen = _majority(labels)[None]
    at_label = np.take_along_axis(samples.face, chosen, 0)[0]
    # One sample a pixel gets its light: the label's, unless nothing is there and is elsewhere.
    lit_sample = np.where(at_label < 0, samples.face.argmax(0), chosen)
    cover = (samples.face >= 0).mean(0, dtype=np.float32)
    points = _points(surfaces, samples, lit_sample, shadow_map.scale)
    light = np.zeros((*cover.shape, 3), np.float32)
    light[points.row, points.column] = _shade_points(surfaces, points, view, shadow_map, noise)
    return Shaded(
        light=light * cover[..., None],
        cover=cover,
        labels=np.take_along_axis(labels, chosen, 0)[0],
        depth=np.take_along_axis(samples.depth, chosen, 0)[0],
        target=(at_label >= 0) & (at_label < own),
    )


class _Samples(NamedTuple):
    """Surfaces at the samples of each pixel."""

    face: Int[np.ndarray, "samples size size"]  # index over the faces of all surfaces; -1 for none
    depth: Float[np.ndarray, "samples size size"]
    shares: Float[np.ndarray, "samples size size 3"]  # barycentric coordinates


def _rasterize(surfaces: list[Surface], view: View) -> _Samples:
    vertices = np.concatenate([surface.vertices for surface in surfaces])
    fine = SUPERSAMPLING * CROP_SIZE_PX
    visible = visible_surface(
        torch.from_numpy(view.to_camera(vertices)).float(),
        _faces(surfaces),
        torch.from_numpy(view.crop_intrinsics(fine)).float(),
        (fine, fine),
    )
    return _Samples(*(_group_samples(values.numpy()) for values in visible))


class _Points(NamedTuple):
    """Points of surfaces, one a pixel."""

    row: Int[np.ndarray, " points"]
    column: Int[np.ndarray, " points"]
    face: Int[np.ndarray, " points"]
    normals: Float[np.ndarray, "points 3"]
    texture_points: Float[np.ndarray, "points 3"]  # where paint is looked up
    positions: Float[np.ndarray, "points 3"]  # in the world
    ambient_share: Float[np.ndarray, " points"]  # of the ambient light that reaches them


def _points(
    surfaces: list[Surface],
    samples: _Samples,
    lit_sample: Int[np.ndarray, "1 size size"],
    scale: float,
) -> _Points:
    """Points at one sample of each pixel, where there is a surface."""
    face = np.take_along_axis(samples.face, lit_sample, 0)[0]
    row, column = np.nonzero(face >= 0)
    face = face[row, column]
    shares = samples.shares[lit_sample[0, row, column], row, column]
    corners = _faces(surfaces).numpy()[face]
    values = [
        np.concatenate((surface.normals, surface.texture_points, surface.vertices), axis=1)
        for surface in surfaces
    ]
    interpolated = _interpolate(np.concatenate(values).astype(np.float32), corners, shares)
    normals, texture_points, positions = (
        interpolated[:, first : first + 3] for first in (0, 3, 6)
    )
    depth = np.take_along_axis(samples.depth, lit_sample, 0)[0] / scale
    occlusion = _ambient_occlusion(depth)[row, column]
    return _Points(row, column, face, normals, texture_points, positions, occlusion)


def _shade_points(
    surfaces: list[Surface], points: _Points, view: View, shadow_map: ShadowMap, noise: Noise
) -> Float[np.ndarray, "points 3"]:
    """Light that points send to the camera."""
    material = _materials(surfaces, points.face, points.texture_points)
    normals = _bump_normals(points.normals, points.texture_points, material.folds, noise)
    to_camera = view.position.astype(np.float32) - points.positions
    to_camera /= np.linalg.norm(to_camera, axis=-1, keepdims=True)
    reach = np.stack((points.ambient_share, shadow_map.visibility(points.positions)))
    return _reflect(material, normals, to_camera, reach, shadow_map.light)


def _group_samples(values: np.ndarray) -> np.ndarray:
    """Values of the supersampled picture as (samples, size, size, …)."""
    grid = [(row, column) for row in range(SUPERSAMPLING) for column in range(SUPERSAMPLING)]
    return np.stack([values[row::SUPERSAMPLING, column::SUPERSAMPLING] for row, column in grid])


def _majority(labels: Int[np.ndarray, "samples size size"]) -> Int[np.ndarray, "size size"]:
    """Sample of each pixel with the label that most samples have."""
    narrow = labels.astype(np.uint8)
    counts = [sum((own == other).view(np.uint8) for other in narrow) for own in narrow]
    return np.argmax(counts, axis=0)


def _faces(surfaces: list[Surface]) -> torch.Tensor:
    first_vertices = np.cumsum([0, *(len(surface.vertices) for surface in surfaces)])
    faces = [
        surface.faces + first for surface, first in zip(surfaces, first_vertices, strict=False)
    ]
    return torch.from_numpy(np.concatenate(faces))


def _interpolate(
    values: Float[np.ndarray, "vertices values"], corners: np.ndarray, shares: np.ndarray
) -> Float[np.ndarray, "points values"]:
    """Barycentric interpolation of the vertices' values."""
    interpolated = values[corners[:, 0]] * shares[:, :1]
    interpolated += values[corners[:, 1]] * shares[:, 1:2]
    interpolated += values[corners[:, 2]] * shares[:, 2:]
    return interpolated


def _materials(surfaces: list[Surface], face: np.ndarray, texture_points: np.ndarray) -> Material:
    """Materials of points on faces, which are counted over all surfaces."""
    count = len(face)
    materials = Material(
        np.zeros((count, 3), np.float32), *(np.zeros(count, np.float32) for _ in "gfs")
    )
    first = 0
    for surface in surfaces:
        past = first + len(surface.faces)
        rows = np.flatnonzero((face >= first) & (face < past))
        if len(rows):
            material = surface.material(texture_points[rows], face[rows] - first)
            for values, part in zip(materials, material, strict=True):
                values[rows] = part
        first = past
    return materials


def _bump_normals(
    normals: np.ndarray, texture_points: np.ndarray, folds: np.ndarray, noise: Noise
) -> Float[np.ndarray, "points 3"]:
    """Normals perturbed by folds and bumps."""
    folded = np.flatnonzero(folds > 0.1)
    points = texture_points[folded]
    # Folds are longer across the body than along it.
    offset = noise.vectors(points, (0.09, 0.035, 0.09)) + 0.4 * noise.vectors(
        points, (0.03, 0.015, 0.03)
    )
    normals[folded] += (0.35 * folds[folded] * offset).T
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True).clip(1e-6)


def _ambient_occlusion(
    depth: Float[np.ndarray, "height width"],
) -> Float[np.ndarray, "height width"]:
    """Share of the ambient light that nearby surfaces leave to each pixel, 0…1."""
    known = np.isfinite(depth).astype(np.float32)
    flat = np.where(known > 0, depth, 0).astype(np.float32)
    result = np.ones_like(flat)
    for size in OCCLUSION_PX:
        window = (4 * size + 1, 4 * size + 1)
        near = cv2.blur(flat, window) / cv2.blur(known, window).clip(1e-3)
        deep = (flat - near).clip(0, 0.15)
        result *= np.exp(-5 * deep)
    return result


def _reflect(
    material: Material,
    normals: np.ndarray,
    to_camera: np.ndarray,
    reach: Float[np.ndarray, "2 points"],
    light: Light,
) -> Float[np.ndarray, "points 3"]:
    """Diffuse, subsurface and specular reflection (Blinn–Phong).

    Args:
        material: of the points.
        normals: of the points.
        to_camera: directions to the camera, unit vectors.
        reach: shares of the ambient light and of the lamp's light that reach the points.
        light: on the scene.
    """
    occlusion, lit = reach
    facing = normals @ light.lamp_direction
    soft = 0.25 * material.skin  # light that went through the skin reaches round the edge
    direct = ((facing + soft) / (1 + soft)).clip(0) * lit
    ambient = light.ambient(normals) * occlusion[:, None]
    diffuse = material.albedo * (ambient + direct[:, None] * light.lamp)
    half = to_camera + light.lamp_direction
    half /= np.linalg.norm(half, axis=-1, keepdims=True).clip(1e-6)
    power = 8 + 60 * material.gloss
    specular = (normals * half).sum(-1).clip(0) ** power * (facing > 0) * lit
    edge = (1 - (normals * to_camera).sum(-1).clip(0, 1)) ** 4
    highlight = (0.5 * material.gloss * specular)[:, None] * light.lamp
    return (diffuse + highlight + (0.25 * material.gloss * edge)[:, None] * ambient).astype(
        np.float32
    )
