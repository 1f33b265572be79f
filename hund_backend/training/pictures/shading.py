"""Shading: from surfaces to light, labels and depth at every pixel, with one lamp's shadow."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from hund_backend.perception.blazepose import CROP_SIZE_PX
from hund_backend.rendering.zbuffer import visible_surface

from .lights import Light
from .noise import Noise
from .surfaces import Paint, Surface
from .views import View

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
    """How far a light's lamp reaches, on a grid across its direction."""

    light: Light
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
    return Shadow(
        light=light, rotation=rotation, middle=middle, depth=surface.depth.numpy() - LAMP_AWAY
    )


def shade(
    surfaces: list[Surface], num_target: int, view: View, shadow: Shadow, noise: Noise
) -> Shaded:
    """Surfaces as a camera sees them under a light.

    Args:
        surfaces: the person's own first.
        num_target: how many are the person's own.
        view: of the camera.
        shadow: with its light.
        noise: folds and bumps, of three channels.
    """
    own = sum(len(surface.faces) for surface in surfaces[:num_target])
    samples = _sampled(surfaces, view)
    labels = np.append(np.concatenate([surface.parts for surface in surfaces]), 0)[samples.face]
    labels = labels * (samples.face < own)
    chosen = _most(labels)[None]
    at_label = np.take_along_axis(samples.face, chosen, 0)[0]
    # One sample a pixel gets its light: the label's, unless nothing is there and is elsewhere.
    lighted = np.where(at_label < 0, samples.face.argmax(0), chosen)
    cover = (samples.face >= 0).mean(0, dtype=np.float32)
    points = _points(surfaces, samples, lighted)
    light = np.zeros((*cover.shape, 3), np.float32)
    light[points.row, points.column] = _lighted(surfaces, points, view, shadow, noise)
    return Shaded(
        light=light * cover[..., None],
        cover=cover,
        labels=np.take_along_axis(labels, chosen, 0)[0],
        depth=np.take_along_axis(samples.depth, chosen, 0)[0],
        target=(at_label >= 0) & (at_label < own),
    )


class _Samples(NamedTuple):
    """What the samples of each pixel show."""

    face: Int[np.ndarray, "samples size size"]  # counted through all surfaces; -1 is nothing
    depth: Float[np.ndarray, "samples size size"]
    shares: Float[np.ndarray, "samples size size 3"]  # of the face's corners


def _sampled(surfaces: list[Surface], view: View) -> _Samples:
    vertices = np.concatenate([surface.vertices for surface in surfaces])
    fine = FINER * CROP_SIZE_PX
    visible = visible_surface(
        torch.from_numpy(view.in_camera(vertices)).float(),
        _faces(surfaces),
        torch.from_numpy(view.crop_intrinsics(fine)).float(),
        (fine, fine),
    )
    return _Samples(*(_blocks(values.numpy()) for values in visible))


class _Points(NamedTuple):
    """Points of surfaces; one a pixel."""

    row: Int[np.ndarray, " points"]
    column: Int[np.ndarray, " points"]
    face: Int[np.ndarray, " points"]
    normals: Float[np.ndarray, "points 3"]
    places: Float[np.ndarray, "points 3"]  # where paint is looked up
    positions: Float[np.ndarray, "points 3"]  # in the world
    open: Float[np.ndarray, " points"]  # share of the light from all round that reaches them


def _points(
    surfaces: list[Surface], samples: _Samples, lighted: Int[np.ndarray, "1 size size"]
) -> _Points:
    """The points that one sample of each pixel shows; none where there is no surface."""
    shown = np.take_along_axis(samples.face, lighted, 0)[0]
    row, column = np.nonzero(shown >= 0)
    face = shown[row, column]
    shares = samples.shares[lighted[0, row, column], row, column]
    corners = _faces(surfaces).numpy()[face]
    values = [
        np.concatenate((surface.normals, surface.places, surface.vertices), axis=1)
        for surface in surfaces
    ]
    mixed = _between(np.concatenate(values).astype(np.float32), corners, shares)
    normals, places, positions = (mixed[:, first : first + 3] for first in (0, 3, 6))
    crease = _creases(np.take_along_axis(samples.depth, lighted, 0)[0])[row, column]
    return _Points(row, column, face, normals, places, positions, crease)


def _lighted(
    surfaces: list[Surface], points: _Points, view: View, shadow: Shadow, noise: Noise
) -> Float[np.ndarray, "points 3"]:
    """Light that points send to the camera."""
    paint = _painted(surfaces, points.face, points.places)
    normals = _bumped(points.normals, points.places, paint.folds, noise)
    toward = view.position.astype(np.float32) - points.positions
    toward /= np.linalg.norm(toward, axis=-1, keepdims=True)
    reach = np.stack((points.open, shadow.lit(points.positions)))
    return _lit(paint, normals, toward, reach, shadow.light)


def _blocks(values: np.ndarray) -> np.ndarray:
    """Values of the finer picture as (samples, size, size, …): the samples of each pixel."""
    grid = [(row, column) for row in range(FINER) for column in range(FINER)]
    return np.stack([values[row::FINER, column::FINER] for row, column in grid])


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
    reach: Float[np.ndarray, "2 points"],
    light: Light,
) -> Float[np.ndarray, "points 3"]:
    """Diffuse light, light that went under the skin, and mirrored light (Blinn and Phong).

    Args:
        paint: of the points.
        normals: of the points.
        toward: the camera, unit vectors.
        reach: shares of the light from all round, and of the lamp's, that reach the points.
        light: on the scene.
    """
    crease, lit = reach
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
