"""Laws of crops: their maps to the frame and the camera, and their extraction."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hund_backend.perception import crops

CROPS = st.tuples(
    st.floats(-50, 900), st.floats(-50, 900), st.floats(20, 3000), st.floats(-7, 7)
).map(np.array)


def smooth_image(height=240, width=320):
    """An image whose values are known at any point: red grows with x, green with y."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack((x / width * 255, y / height * 255, 0 * x), axis=-1).round().astype(np.uint8)


@given(CROPS)
def test_frame_crop_round_trip(crop):
    points = np.random.default_rng(0).uniform(0, 256, (7, 2))
    in_frame = crops.transform_points(points, crops.image_from_crop(crop))
    np.testing.assert_allclose(
        crops.transform_points(in_frame, crops.crop_from_image(crop)), points, atol=1e-6
    )


@given(CROPS)
def test_the_middle_of_a_crop_is_its_center_and_its_top_is_at_its_angle(crop):
    matrix = crops.image_from_crop(crop)
    middle, top = crops.transform_points(np.array([[128.0, 128], [128, 0]]), matrix)
    np.testing.assert_allclose(middle, crop[:2], atol=1e-6)
    upward = np.array([np.sin(crop[3]), -np.cos(crop[3])])  # clockwise on screen, y down
    np.testing.assert_allclose(top - middle, upward * crop[2] / 2, atol=1e-6)


@pytest.mark.parametrize("side", [60.0, 150.0, 700.0])
@pytest.mark.parametrize("angle", [0.0, 0.7, np.pi])
def test_extracted_crops_show_the_frame_at_their_pixels(side, angle):
    image = cv2.resize(smooth_image(), (1280, 960), interpolation=cv2.INTER_LINEAR)
    crop = np.array([[640.0, 480, side, angle]])
    extracted = crops.extract_crops(image, crop)[0].astype(float)
    y, x = np.mgrid[20:240:20, 20:240:20]
    centers = np.stack((x.ravel(), y.ravel()), axis=-1) + 0.5
    in_frame = crops.transform_points(centers, crops.image_from_crop(crop[0]))
    expected = in_frame / (1280, 960) * 255
    np.testing.assert_allclose(extracted[y.ravel(), x.ravel(), :2], expected, atol=2.5)


def test_a_crop_of_the_whole_frame_at_its_size_is_the_frame():
    image = np.random.default_rng(1).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        crops.extract_crops(image, np.array([[128.0, 128, 256, 0]]))[0], image
    )


@pytest.mark.parametrize("factor", [2, 3])
def test_large_crops_are_averaged_down(factor):
    noise = np.random.default_rng(2).integers(
        0, 255, (256 * factor, 256 * factor, 3), dtype=np.uint8
    )
    half = 128.0 * factor
    extracted = crops.extract_crops(noise, np.array([[half, half, 2 * half, 0]]))[0]
    blocks = noise.reshape(256, factor, 256, factor, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(extracted, blocks, atol=1)


def test_the_border_is_replicated():
    image = smooth_image()
    extracted = crops.extract_crops(image, np.array([[0.0, 120, 200, 0]]))[0]
    np.testing.assert_array_equal(extracted[:, 0], extracted[:, 100])
    assert (crops.extract_crops(image[:1, :1], np.array([[5.0, 5, 9, 1]])) == image[0, 0]).all()


@pytest.mark.parametrize("angle", np.linspace(-3, 3, 5))
def test_a_crop_around_an_axis_is_centered_on_the_hip_and_points_to_the_tip(angle):
    hip, tip = np.array([30.0, 40.0]), np.array([30 + 50 * np.sin(angle), 40 - 50 * np.cos(angle)])
    np.testing.assert_allclose(crops.crop_around_axis(hip, tip), [30, 40, 125, angle], atol=1e-9)


@pytest.mark.parametrize("angle", np.linspace(-3, 3, 5))
def test_a_crop_around_points_contains_them_with_a_margin(angle):
    points = np.random.default_rng(3).normal(100, 30, (20, 2))
    crop = crops.crop_around_points(points, angle, margin=1.25)
    inside = crops.transform_points(points, crops.crop_from_image(crop))
    edge = 128 / 1.25
    assert np.abs(inside - 128).max() == pytest.approx(edge)
    assert crop[3] == angle


def test_the_optical_axis_of_a_crop_is_the_ray_through_its_center():
    intrinsics = np.array([[800.0, 0, 640], [0, 800, 360], [0, 0, 1]])
    crop = np.array([[900.0, 100, 300, 0.6], [640, 360, 10, -1]])
    camera_from_crop = crops.camera_from_crop(crop, intrinsics)
    unit = np.broadcast_to(np.eye(3), (2, 3, 3))
    np.testing.assert_allclose(
        camera_from_crop @ camera_from_crop.swapaxes(1, 2), unit, atol=1e-12
    )
    assert np.linalg.det(camera_from_crop) == pytest.approx([1, 1])
    ray = camera_from_crop[0] @ (0, 0, 1)
    np.testing.assert_allclose(intrinsics @ ray / ray[2], [900, 100, 1], atol=1e-9)
    # On the optical axis only the rotation by the angle is left: the crop's upward axis leans clockwise.
    upward = camera_from_crop[1] @ (0, -1, 0)
    np.testing.assert_allclose(upward, [np.sin(-1), -np.cos(-1), 0], atol=1e-12)
