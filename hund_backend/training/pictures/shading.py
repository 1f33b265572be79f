"""Shading: surfaces to light, labels and depth at every pixel, by an exact z-buffer and one lamp's shadow."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from hund_backend.rendering.zbuffer import visible_surface

from .lights import Light
from .noise import Noise
from .surfaces import Paint, Surface

FINER = 2  # pixels that are shaded along each side of a pixel of the picture
SHADOW_PX = 160
SHADOW_REACH = 1.6  # metres round the middle of a scene in which shadows are thrown
LAMP_AWAY = 40.0  # metres
BIAS = 0.025  # metres that a surface must lie behind another to be in its shadow
CREASE_PX = (2, 7)  # sizes of the neighborhoods in which a pixel may lie deep


@dataclass(frozen=True, kw_only=True)
class Shaded:
    """Surfaces as a camera sees them."""

    light: Float[np.ndarray, "height width 3"]  # linear, times the cover
    cover: Float[np.ndarray, "height width"]  # share of the pixel that shows a surface
    labels: Int[np.ndarray, "height width"]  # what most of the pixel shows
    depth: Float[np.ndarray, "height width"]  # metres; infinite where nothing is
    target: Bool[np.ndarray, "height width"]  # shows the first surfaces, the person's


@dataclass(frozen=True, kw_only=True)
class Shadow:
    """How far the lamp reaches, on a grid across its direction."""

    rotation: Float[np.ndarray, "3 3"]  # lamp from world
    middle: Float[np.ndarray, "3"]  # of the scene, in the world
    depth: Float[np.ndarray, "height width"]

    def lit(self, points: Float[np.ndarray, "*shape 3"]) -> Float[np.ndarray, "*shape"]:
        """Share of the lamp's light that reaches points of the world, 0…1."""
        seen = (points - self.middle) @ self.rotation.T
        place = (seen[..., :2] / SHADOW_REACH * 0.5 + 0.5) * SHADOW_PX - 0.5
        column, row = (np.ascontiguousarray(place[..., k], np.float32) for k in (0, 1))
        shape = column.shape
        behind = np.zeros(shape, np.float32)
        for across, down in ((-0.7, -0.7), (0.7, -0.7), (-0.7, 0.7), (0.7, 0.7)):
            column_at = np.rint(column + across).astype(int)
            row_at = np.rint(row + down).astype(int)
            inside = (np.minimum(column_at, row_at) >= 0) & (
                np.maximum(column_at, row_at) < SHADOW_PX
            )
            depth = self.depth[row_at * inside, column_at * inside]
            behind += inside & (seen[..., 2] > depth + BIAS)
        return 1 - behind / 4


def shadow_of(surfaces: list[Surface], middle: Float[np.ndarray, "3"], light: Light) -> Shadow:
    """What the lamp sees of some surfaces."""
    forward = -light.toward_lamp
    right = np.cross(forward, (0.3, 0.9, 0.1))
    right /= np.linalg.norm(right)
    rotation = np.stack((right, np.cross(forward, right), forward))
    vertices = np.concatenate([surface.vertices for surface in surfaces])
    seen = (vertices - middle) @ rotation.T + (0, 0, LAMP_AWAY)
    focal = LAMP_AWAY / SHADOW_REACH * SHADOW_PX / 2
    half = SHADOW_PX / 2
    intrinsics = torch.tensor([[focal, 0, half], [0, focal, half], [0, 0, 1]])
    surface = visible_surface(
        torch.from_numpy(seen).float(), _faces(surfaces), intrinsics, (SHADOW_PX, SHADOW_PX)
    )
    return Shadow(rotation=rotation, middle=middle, depth=surface.depth.numpy() - LAMP_AWAY)


def shade(
    surfaces: list[Surface],
    num_target: int,
    camera_from_world: Float[np.ndarray, "4 4"],
    intrinsics: Float[np.ndarray, "3 3"],
    size: int,
    light: Light,
    shadow: Shadow,
    noise: Noise,
) -> Shaded:
    """Surfaces as a camera sees them under a light.

    Args:
        surfaces: the person's own first.
        num_target: how many are the person's own.
        camera_from_world: where the camera is.
        intrinsics: of the finer picture, FINER · size pixels wide.
        size: of the picture, pixels.
        light: on the scene.
        shadow: of the light's lamp.
        noise: folds and bumps.
    """
    fine = FINER * size
    vertices = np.concatenate([surface.vertices for surface in surfaces])
    rotation, translation = camera_from_world[:3, :3], camera_from_world[:3, 3]
    seen = torch.from_numpy(vertices @ rotation.T + translation).float()
    faces = _faces(surfaces)
    visible = visible_surface(seen, faces, torch.from_numpy(intrinsics).float(), (fine, fine))
    face, depth = _blocks(visible.face.numpy(), size), _blocks(visible.depth.numpy(), size)
    parts = np.concatenate([surface.parts for surface in surfaces])
    own = sum(len(surface.faces) for surface in surfaces[:num_target])
    labels = np.append(parts, 0)[face] * (face < own)
    chosen = _most(labels)
    # One sample a pixel gets its light: the label's, unless nothing is there and is elsewhere.
    bare = np.take_along_axis(face, chosen[None], 0)[0] < 0
    lighted = np.where(bare, face.argmax(0), chosen)
    shown = np.take_along_axis(face, lighted[None], 0)[0]
    rows, columns = np.nonzero(shown >= 0)
    shown, sample = shown[rows, columns], lighted[rows, columns]
    shares = _blocks(visible.barycentrics.numpy(), size)[sample, rows, columns]
    corners = faces.numpy()[shown]
    values = [
        np.concatenate((surface.normals, surface.places, surface.vertices), axis=1)
        for surface in surfaces
    ]
    mixed = _between(np.concatenate(values).astype(np.float32), corners, shares)
    normals, places, points = (mixed[:, first : first + 3] for first in (0, 3, 6))
    paint = _painted(surfaces, shown, places)
    normals = _bumped(normals, places, paint.folds, noise)
    near = np.take_along_axis(depth, lighted[None], 0)[0]
    crease = _creases(near)[rows, columns]
    toward = (-rotation.T @ translation).astype(np.float32) - points
    toward /= np.linalg.norm(toward, axis=-1, keepdims=True)
    cover = (face >= 0).mean(0, dtype=np.float32)
    full = np.zeros((size, size, 3), np.float32)
    full[rows, columns] = _lit(paint, normals, toward, shadow.lit(points), crease, light)
    at_label = np.take_along_axis(face, chosen[None], 0)[0]
    return Shaded(
        light=full * cover[..., None],
        cover=cover,
        labels=np.take_along_axis(labels, chosen[None], 0)[0],
        depth=np.take_along_axis(depth, chosen[None], 0)[0],
        target=(at_label >= 0) & (at_label < own),
    )


def _blocks(values: np.ndarray, size: int) -> np.ndarray:
    """Values of the finer picture as (samples, size, size, …): the samples of each pixel."""
    grid = [(row, column) for row in range(FINER) for column in range(FINER)]
    blocks = np.stack([values[row::FINER, column::FINER] for row, column in grid])
    assert blocks.shape[1:3] == (size, size)
    return blocks


def _most(labels: Int[np.ndarray, "samples size size"]) -> Int[np.ndarray, "size size"]:
    """The sample of each pixel whose label most samples have."""
    narrow = labels.astype(np.uint8)
    counts = [sum((mine == other).view(np.uint8) for other in narrow) for mine in narrow]
    return np.argmax(counts, axis=0)


def _faces(surfaces: list[Surface]) -> torch.Tensor:
    before = np.cumsum([0, *(len(surface.vertices) for surface in surfaces)])
    faces = [surface.faces + at for surface, at in zip(surfaces, before, strict=False)]
    return torch.from_numpy(np.concatenate(faces))


def _between(
    values: Float[np.ndarray, "vertices values"], corners: np.ndarray, shares: np.ndarray
) -> Float[np.ndarray, "points values"]:
    """Values at points of faces."""
    mixed = values[corners[:, 0]] * shares[:, :1]
    mixed += values[corners[:, 1]] * shares[:, 1:2]
    mixed += values[corners[:, 2]] * shares[:, 2:]
    return mixed


def _painted(surfaces: list[Surface], shown: np.ndarray, places: np.ndarray) -> Paint:
    """The paint of points on faces, which are counted through all surfaces."""
    count = len(shown)
    made = Paint(np.zeros((count, 3), np.float32), *(np.zeros(count, np.float32) for _ in "gfs"))
    first = 0
    for surface in surfaces:
        past = first + len(surface.faces)
        here = np.flatnonzero((shown >= first) & (shown < past))
        if len(here):
            paint = surface.paint(places[here], shown[here] - first)
            for whole, part in zip(made, paint, strict=True):
                whole[here] = part
        first = past
    return made


def _bumped(
    normals: np.ndarray, places: np.ndarray, folds: np.ndarray, noise: Noise
) -> Float[np.ndarray, "points 3"]:
    """Normals that folds and bumps turn this way and that."""
    folded = np.flatnonzero(folds > 0.1)
    at = places[folded]
    # Folds are longer across the body than along it.
    push = noise.vectors(at, (0.09, 0.035, 0.09)) + 0.4 * noise.vectors(at, (0.03, 0.015, 0.03))
    normals[folded] += (0.35 * folds[folded] * push).T
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True).clip(1e-6)


def _creases(depth: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """Light that reaches pixels in spite of what stands in front of them close by, 0…1."""
    seen = np.isfinite(depth).astype(np.float32)
    flat = np.where(seen > 0, depth, 0).astype(np.float32)
    result = np.ones_like(flat)
    for size in CREASE_PX:
        window = (4 * size + 1, 4 * size + 1)
        near = cv2.blur(flat, window) / cv2.blur(seen, window).clip(1e-3)
        deep = (flat - near).clip(0, 0.15)
        result *= np.exp(-5 * deep)
    return result


def _lit(
    paint: Paint,
    normals: np.ndarray,
    toward: np.ndarray,
    lit: np.ndarray,
    crease: np.ndarray,
    light: Light,
) -> Float[np.ndarray, "points 3"]:
    """Light that points send to the camera: diffuse, under the skin, and mirrored (Blinn & Phong)."""
    facing = normals @ light.toward_lamp
    soft = 0.25 * paint.skin  # light that went through the skin reaches round the edge
    direct = ((facing + soft) / (1 + soft)).clip(0) * lit
    ambient = light.ambient(normals) * crease[:, None]
    diffuse = paint.albedo * (ambient + direct[:, None] * light.lamp)
    middle = toward + light.toward_lamp
    middle /= np.linalg.norm(middle, axis=-1, keepdims=True).clip(1e-6)
    power = 8 + 60 * paint.gloss
    mirrored = (normals * middle).sum(-1).clip(0) ** power * (facing > 0) * lit
    edge = (1 - (normals * toward).sum(-1).clip(0, 1)) ** 4
    shine = (0.5 * paint.gloss * mirrored)[:, None] * light.lamp
    return (diffuse + shine + (0.25 * paint.gloss * edge)[:, None] * ambient).astype(np.float32)
