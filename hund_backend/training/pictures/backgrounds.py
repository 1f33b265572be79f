"""Backgrounds: a panorama, a room, a photograph, or clutter."""

from itertools import product

import cv2
import numpy as np
from jaxtyping import Float
from scipy.ndimage import map_coordinates

from ...perception.blazepose import CROP_SIZE_PX
from .fabrics import LETTERS, sample_color, sample_fabric
from .lights import Light, panorama_coords
from .scenery import Scenery
from .shading import ShadowMap
from .surfaces import Surface
from .views import View

SOLE_HEIGHT = 0.12  # metres over the floor below which a body darkens it


def render_background(
    view: View,
    surfaces: list[Surface],
    shadow_map: ShadowMap,
    scenery: Scenery,
    rng: np.random.Generator,
) -> Float[np.ndarray, "size size 3"]:
    """Light from behind the surfaces, with their shadow on the floor."""
    rays = view.rays(CROP_SIZE_PX)
    kind = rng.random()
    panorama = shadow_map.light.panorama
    if panorama is not None and kind < 0.75:
        picture = _sample_panorama(panorama, rays) * _detail(scenery, rng)[..., None]
        if rng.random() < 0.7:
            distance, hits = _intersect_floor(view, rays)
            points = view.position + rays * distance[..., None]
            picture = (
                picture
                * np.where(hits, _floor_lighting(points, shadow_map, surfaces), 1)[..., None]
            )
    elif kind < 0.6:
        return _render_room(view, surfaces, shadow_map, scenery, rng)
    else:
        picture = _random_photograph(scenery, rng) if kind < 0.8 else clutter(CROP_SIZE_PX, rng)
    return picture * rng.uniform(0.7, 1.3)


def _sample_panorama(panorama: np.ndarray, rays: np.ndarray) -> Float[np.ndarray, "size size 3"]:
    """Colors of a panorama in some directions."""
    height, width = panorama.shape[:2]
    coords = panorama_coords(rays) * (width, height) - 0.5
    wrapped = np.concatenate((panorama, panorama[:, :1]), axis=1)
    return cv2.remap(
        wrapped,
        coords[..., 0].clip(0).astype(np.float32),
        coords[..., 1].astype(np.float32),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    ).clip(0, 4)


def _intersect_floor(view: View, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of the floor along rays, and whether they hit it."""
    hits = (rays[..., 1] < -1e-3) & (view.position[1] > 0.05)
    return np.where(hits, -view.position[1] / np.where(hits, rays[..., 1], -1), 0), hits


def _floor_lighting(
    points: np.ndarray, shadow_map: ShadowMap, surfaces: list[Surface]
) -> Float[np.ndarray, "*shape"]:
    """Share of the light on the floor after the lamp's shadow and darkening under soles."""
    light = shadow_map.light
    up = light.lamp_direction[1] * light.lamp.mean()
    ambient = light.ambient(np.array([[0.0, 1, 0]])).mean()
    lit = (ambient + up * shadow_map.visibility(points)) / (ambient + up)
    vertices = np.concatenate([surface.vertices for surface in surfaces])
    low = vertices[vertices[:, 1] < SOLE_HEIGHT] - shadow_map.center
    cells = (low[:, ::2] * 32 + 64).round().astype(int)
    cells = cells[((cells >= 0) & (cells < 128)).all(-1)]
    under = np.zeros((128, 128), np.float32)
    under[cells[:, 1], cells[:, 0]] = 1
    under = cv2.GaussianBlur(under, (0, 0), 2.5)
    x, z = ((points[..., k] - shadow_map.center[k]) * 32 + 64 for k in (0, 2))
    dark = map_coordinates(under, np.stack((z, x)), order=1)
    return lit * (1 - 0.6 * dark)


def _render_room(
    view: View,
    surfaces: list[Surface],
    shadow_map: ShadowMap,
    scenery: Scenery,
    rng: np.random.Generator,
) -> Float[np.ndarray, "size size 3"]:
    """Box-shaped room around camera and people, with patterned walls."""
    rays = view.rays(CROP_SIZE_PX)
    reach = np.abs(view.position[[0, 2]]).max() + rng.uniform(0.5, 4)
    height = max(view.position[1] + 0.5, rng.uniform(2.3, 5))
    low = np.array([-reach, min(0, view.position[1] - 0.3), -reach])
    high = np.array([reach, height, reach])
    toward = np.where(rays > 0, high - view.position, low - view.position)
    distances = toward / np.where(np.abs(rays) < 1e-6, 1e-6, rays)
    wall = distances.argmin(-1)
    points = view.position + rays * distances.min(-1)[..., None]
    picture = np.zeros(rays.shape, np.float32)
    fabrics = [sample_fabric(scenery, rng) for _ in range(3)]
    scale = rng.uniform(1, 5)
    for axis, above in product(range(3), (False, True)):
        on_wall = (wall == axis) & ((rays[..., axis] > 0) == above)
        if on_wall.any():
            # Walls share a pattern; floor and ceiling have their own.
            fabric = fabrics[0 if axis != 1 else 1 + above]
            flat = np.delete(points[on_wall] / scale, axis, axis=1)
            flat = np.insert(flat if axis != 0 else flat[:, ::-1], 2, 0, axis=1)
            lit = _wall_light(axis, above, shadow_map.light)
            picture[on_wall] = fabric.albedo(flat, -flat[:, 1]) * lit
            if axis == 1 and not above:
                picture[on_wall] *= _floor_lighting(points[on_wall], shadow_map, surfaces)[:, None]
    return picture


def _wall_light(axis: int, above: bool, light: Light) -> Float[np.ndarray, "3"]:
    """Light on a wall across an axis, at its upper or its lower end."""
    normal = np.zeros((1, 3))
    normal[0, axis] = -1 if above else 1
    return light.ambient(normal)[0] + light.lamp * max(0, normal[0] @ light.lamp_direction)


def _random_photograph(
    scenery: Scenery, rng: np.random.Generator
) -> Float[np.ndarray, "size size 3"]:
    """Random part of a photograph."""
    photograph = scenery.photographs[rng.integers(len(scenery.photographs))]
    height, width = photograph.shape[:2]
    side = int(rng.uniform(0.3, 1) * min(height, width))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    part = photograph[top : top + side, left : left + side]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return cv2.resize(
        np.ascontiguousarray(part), (CROP_SIZE_PX, CROP_SIZE_PX), interpolation=cv2.INTER_AREA
    )


def _detail(scenery: Scenery, rng: np.random.Generator) -> Float[np.ndarray, "size size"]:
    """Sharp detail with mean 1: panoramas are coarser than people, who would stand out by that."""
    gray = _random_photograph(scenery, rng).mean(-1).clip(0.02)
    detail = (gray / cv2.GaussianBlur(gray, (0, 0), rng.uniform(2, 8))).clip(0.3, 3)
    return detail ** rng.uniform(0, 0.8)


def clutter(size: int, rng: np.random.Generator) -> Float[np.ndarray, "size size 3"]:
    """Shapes, lines and letters over soft noise."""
    picture = np.zeros((size, size, 3), np.float32) + sample_color(rng)
    for cells in (4, 16, 64):
        rough = rng.normal(0, 0.18, (cells, cells, 1 if rng.random() < 0.8 else 3))
        rough = cv2.resize(rough.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
        picture *= np.exp(rough.reshape(size, size, -1))
    for _ in range(rng.integers(3, 30)):
        color = tuple(float(value) for value in sample_color(rng))
        start = rng.integers(-20, size + 20, 2)
        end = start + rng.normal(0, size * rng.choice((0.05, 0.2, 0.5)), 2).astype(int)
        first, second = tuple(map(int, start)), tuple(map(int, end))
        match rng.integers(5):
            case 0:
                cv2.rectangle(picture, first, second, color, -1)
            case 1:
                cv2.circle(picture, first, int(abs(end[0] - start[0])) + 1, color, -1, cv2.LINE_AA)
            case 2:
                cv2.line(picture, first, second, color, int(rng.integers(1, 12)), cv2.LINE_AA)
            case 3:
                corners = (
                    start + rng.normal(0, size * 0.15, (int(rng.integers(3, 7)), 2))
                ).astype(np.int32)
                cv2.fillPoly(picture, [corners], color, cv2.LINE_AA)
            case _:
                text = "".join(rng.choice(list(LETTERS), rng.integers(1, 8)))
                scale, line = rng.uniform(0.4, 3), int(rng.integers(1, 5))
                ink = np.zeros((size, size), np.uint8)
                cv2.putText(ink, text, first, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, line)
                picture[ink > 127] = color
    return picture
