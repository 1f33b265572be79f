"""Lights: ambient light from all directions, and one lamp that casts shadows."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .scenery import Scenery

LAMP_PERCENTILE = 99.5  # light of a panorama above this belongs to the lamp


@dataclass(frozen=True, kw_only=True)
class Light:
    """Light of a scene, in a world with y up; a white wall in it has the value 1."""

    harmonics: Float[np.ndarray, "9 3"]  # spherical harmonics of the irradiance over pi
    lamp_direction: Float[np.ndarray, "3"]  # unit vector
    lamp: Float[np.ndarray, "3"]  # its irradiance over pi on a surface that faces it
    panorama: Float[np.ndarray, "height width 3"] | None = None  # source of the light

    def ambient(self, normals: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 3"]:
        """Light on surfaces without the lamp."""
        return (_basis(normals) @ self.harmonics).clip(0.02)


def light_from_panorama(
    panorama: Float[np.ndarray, "height width 3"], rng: np.random.Generator
) -> Light:
    """Light of a panorama: its brightest spot as the lamp, the rest as ambient light."""
    small = panorama[::4, ::4]
    directions, areas = _directions(*small.shape[:2])
    brightness = small.mean(-1)
    bright = brightness > np.percentile(brightness, LAMP_PERCENTILE)
    bright &= directions[..., 1] > 0
    direction = (directions * (bright * brightness)[..., None]).sum((0, 1))
    if np.linalg.norm(direction) < 1e-3:
        direction = np.array([0.3, 1, 0.2])
    limit = np.percentile(small, LAMP_PERCENTILE)
    harmonics = _harmonics(small.clip(max=limit), directions, areas)
    color = small[bright].mean(0) if bright.any() else np.ones(3)
    color = 0.5 + 0.5 * color / color.max()
    return Light(
        harmonics=harmonics,
        lamp_direction=direction / np.linalg.norm(direction),
        lamp=color * rng.uniform(0.0, 1.8) ** 1.3,
        panorama=panorama,
    )


def random_light(rng: np.random.Generator) -> Light:
    """Light of a random environment: a sky, a ground, and some windows and lamps."""
    directions, areas = _directions(16, 32)
    sky, ground = _random_tint(rng, 0.25), _random_tint(rng, 0.3) * rng.uniform(0.15, 0.7)
    up = (directions[..., 1:2] + 0.3).clip(0, 1)
    around = sky * up + ground * (1 - up)
    for _ in range(rng.integers(0, 4)):
        direction = _random_direction(rng, low=-0.3)
        spot = np.exp((directions @ direction - 1) / rng.uniform(0.02, 0.4))
        around = around + spot[..., None] * _random_tint(rng, 0.3) * rng.uniform(0.3, 3)
    around = around / around.mean() * rng.uniform(0.6, 1.1)
    return Light(
        harmonics=_harmonics(around, directions, areas),
        lamp_direction=_random_direction(rng, low=0.05),
        lamp=_random_tint(rng, 0.15) * rng.uniform(0, 1.6) ** 1.3,
    )


def sample_light(scenery: Scenery, rng: np.random.Generator) -> Light:
    """Light of a panorama, or a random one."""
    if rng.random() < 0.6:
        return light_from_panorama(scenery.panoramas[rng.integers(len(scenery.panoramas))], rng)
    return random_light(rng)


def _random_tint(rng: np.random.Generator, strength: float) -> Float[np.ndarray, "3"]:
    """Color near white: warm, cold, or any."""
    warmth = rng.normal(0, strength)
    return np.exp(np.array([warmth, 0, -warmth]) + rng.normal(0, strength / 4, 3))


def _random_direction(rng: np.random.Generator, low: float) -> Float[np.ndarray, "3"]:
    height, angle = rng.uniform(low, 1), rng.uniform(0, 2 * np.pi)
    flat = np.sqrt(1 - height**2)
    return np.array([flat * np.cos(angle), height, flat * np.sin(angle)])


def _directions(
    height: int, width: int
) -> tuple[Float[np.ndarray, "height width 3"], Float[np.ndarray, "height width"]]:
    """Directions of a panorama's pixels, and their solid angles."""
    polar = (np.arange(height) + 0.5) / height * np.pi
    angle = (np.arange(width) + 0.5) / width * 2 * np.pi
    sine, cosine = np.sin(polar)[:, None], np.cos(polar)[:, None]
    directions = np.stack(
        (sine * np.sin(angle), cosine + 0 * angle, -sine * np.cos(angle)), axis=-1
    )
    areas = sine * (np.pi / height) * (2 * np.pi / width) + 0 * angle
    return directions.astype(np.float32), areas.astype(np.float32)


def panorama_coords(
    directions: Float[np.ndarray, "*shape 3"],
) -> Float[np.ndarray, "*shape 2"]:
    """Coordinates of directions in a panorama: shares 0…1 of its width and of its height."""
    x, y, z = np.moveaxis(directions / np.linalg.norm(directions, axis=-1, keepdims=True), -1, 0)
    across = np.arctan2(x, -z) / (2 * np.pi) % 1
    return np.stack((across, np.arccos(y.clip(-1, 1)) / np.pi), axis=-1)


def _basis(normals: Float[np.ndarray, "*shape 3"]) -> Float[np.ndarray, "*shape 9"]:
    """Real spherical harmonics up to the second order."""
    x, y, z = np.moveaxis(normals, -1, 0)
    return np.stack(
        (
            0.282095 * np.ones_like(x),
            *(0.488603 * axis for axis in (y, z, x)),
            *(1.092548 * product for product in (x * y, y * z)),
            0.315392 * (3 * z * z - 1),
            1.092548 * x * z,
            0.546274 * (x * x - y * y),
        ),
        axis=-1,
    )


def _harmonics(
    light: Float[np.ndarray, "height width 3"], directions: np.ndarray, areas: np.ndarray
) -> Float[np.ndarray, "9 3"]:
    """Irradiance over pi (Ramamoorthi & Hanrahan, "Irradiance Environment Maps", 2001)."""
    basis = _basis(directions) * areas[..., None]
    spread = np.array([1, *[2 / 3] * 3, *[1 / 4] * 5])  # of the cosine, over pi
    return (spread[:, None] * np.einsum("hwk,hwc->kc", basis, light)).astype(np.float32)
