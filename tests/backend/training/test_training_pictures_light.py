"""Lights, shadows, noise and frames of synthetic pictures."""

import numpy as np
import pytest
from picture_assets import synthetic_scenery, template

from hund_backend.perception.crops import crop_from_image, transform_points
from hund_backend.training.pictures.camera_effects import clamp_to_frame
from hund_backend.training.pictures.fabrics import PATTERNS
from hund_backend.training.pictures.lights import Light, light_from_panorama, panorama_coords
from hund_backend.training.pictures.noise import CELLS, Noise
from hund_backend.training.pictures.props import sample_prop
from hund_backend.training.pictures.shading import render_shadow_map
from hund_backend.training.pictures.views import sample_crop


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def unit_vectors(rng, count=50):
    vectors = rng.normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_uniform_light_is_isotropic(rng):
    light = light_from_panorama(np.ones((64, 128, 3), np.float32), rng)
    assert np.allclose(light.ambient(unit_vectors(rng)), 1, atol=0.03)


def test_the_side_towards_the_light_is_brighter(rng):
    panorama = np.full((64, 128, 3), 0.1, np.float32)
    panorama[:20] = 1  # the sky
    light = light_from_panorama(panorama, rng)
    up, down = light.ambient(np.array([[0.0, 1, 0], [0, -1, 0]]))
    assert (up > 2 * down).all()


def test_panorama_coordinates_of_up_down_and_front():
    places = panorama_coords(np.array([[0.0, 1, 0], [0, -1, 0], [0, 0, -1]]))
    assert np.allclose(places[:, 1], (0, 1, 0.5))


def test_shadow_falls_away_from_the_lamp(rng):
    prop = sample_prop(np.array([0.0, 1, 0]), 0.4, synthetic_scenery(), rng)
    direction = np.array([0.6, 0.8, 0])
    light = Light(harmonics=np.zeros((9, 3)), lamp_direction=direction, lamp=np.ones(3))
    shadow = render_shadow_map([prop], np.array([0.0, 1, 0]), light)
    center = prop.vertices.mean(0)
    points = center + np.array([-0.9 * direction, 0.9 * direction, (0, 0, 1.3)])
    assert np.array_equal(shadow.visibility(points), (0, 1, 1))


def test_noise_repeats_without_a_seam(rng):
    noise = Noise(rng)
    points = rng.uniform(-3, 3, (200, 3))
    assert np.allclose(noise(points, 0.5), noise(points + 0.5 * CELLS, 0.5), atol=1e-2)
    near = noise(points + 1e-4, 0.5)
    assert np.abs(near - noise(points, 0.5)).max() < 0.01


def test_clamping_keeps_crops_inside_the_frame():
    crop = np.array([500.0, 400, 300, 0.4])
    places, inside = clamp_to_frame(crop, (1000, 800), 64)
    assert inside.all()
    middle = np.arange(64) + 0.5
    assert np.allclose(places, np.stack(np.meshgrid(middle, middle), axis=-1), atol=1e-3)


def test_pixels_beyond_the_frame_are_clamped_to_its_edge():
    crop = np.array([0.0, 400, 300, 0.2])
    places, inside = clamp_to_frame(crop, (1000, 800), 64)
    assert 0.3 < inside.mean() < 0.7
    framed = transform_points(places.reshape(-1, 2), np.linalg.inv(crop_from_image(crop, 64)))
    assert framed[:, 0].min() > 0.4


def test_crops_contain_the_person(rng):
    model = template()
    points = np.stack(list(model.landmarks.values()))[:, :2] * (300, -300) + 500
    for _ in range(50):
        crop = sample_crop(points, rng)
        placed = transform_points(points, crop_from_image(crop))
        assert ((placed > -40) & (placed < 296)).all()


def test_held_out_cloth_has_patterns_of_its_own():
    common = {"plain", "photograph"}
    assert set(PATTERNS["train"]) & set(PATTERNS["held_out"]) == common


def test_limb_coordinates_are_integers_at_the_joints():
    model = template()
    joints = np.stack([model.joints[name] for name in ("UpperarmR", "LowerarmR", "HandR")])
    assert np.allclose(model.arm_coordinate(joints), (0, 1, 2), atol=0.12)
    joints = np.stack([model.joints[name] for name in ("ThighL", "CalfL", "AnkleL")])
    assert np.allclose(model.leg_coordinate(joints), (0, 1, 2), atol=0.12)
