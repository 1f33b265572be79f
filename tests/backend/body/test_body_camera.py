"""Pinhole camera and lens distortion."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hund_backend.body import camera
from hund_backend.errors import BadInputError

LENS = np.array([-0.24, 0.09, 0.001, -0.0015, -0.012])


def test_optical_axis_projects_to_the_frame_center():
    intrinsics = torch.from_numpy(camera.default_intrinsics(1920, 1080))
    middle = camera.project(torch.tensor([[0.0, 0.0, 3.0]], dtype=torch.float64), intrinsics)
    assert middle.tolist() == [[960.0, 540.0]]


def test_default_focal_length_is_the_longer_side():
    assert camera.default_intrinsics(1080, 1920)[0, 0] == 1920


@given(st.floats(1, 179), st.integers(1, 5000))
def test_field_of_view_spans_the_width(fov_deg, width):
    intrinsics = camera.intrinsics_from_fov(fov_deg, width, 1080)
    slope = np.tan(np.deg2rad(fov_deg / 2))
    assert intrinsics[0, 0] * slope + intrinsics[0, 2] == pytest.approx(width)


@pytest.mark.parametrize("focal_px", [0.0, -5.0, float("nan"), float("inf")])
def test_invalid_focal_length_is_refused(focal_px):
    with pytest.raises(BadInputError, match="positive"):
        camera.intrinsics_from_focal(focal_px, 640, 480)


@pytest.mark.parametrize("fov_deg", [0.0, 180.0, -3.0, float("nan")])
def test_invalid_field_of_view_is_refused(fov_deg):
    with pytest.raises(BadInputError, match="between 0 and 180"):
        camera.intrinsics_from_fov(fov_deg, 640, 480)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_projection_with_crop_intrinsics_equals_cropped_projection(batch):
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(*batch, 7, 3, generator=generator, dtype=torch.float64)
    points[..., 2] += 6
    intrinsics = torch.from_numpy(camera.default_intrinsics(1920, 1080)).expand(*batch, 3, 3)
    crop_from_image = torch.eye(3, dtype=torch.float64).repeat(*batch, 1, 1)
    affine = torch.randn(*batch, 2, 3, generator=generator, dtype=torch.float64)
    crop_from_image[..., :2, :] += affine
    cropped = camera.project(points, camera.crop_intrinsics(intrinsics, crop_from_image))
    pixels = camera.project(points, intrinsics)
    pixels = torch.cat((pixels, torch.ones_like(pixels[..., :1])), -1)
    torch.testing.assert_close(cropped, (pixels @ crop_from_image.mT)[..., :2])


def test_one_camera_broadcasts_over_frames():
    points = torch.zeros(5, 4, 3) + torch.tensor([0.3, -0.2, 8.0])
    intrinsics = torch.tensor(camera.default_intrinsics(640, 480), dtype=torch.float32)
    assert camera.project(points, intrinsics).shape == (5, 4, 2)


def test_points_behind_the_camera_project_to_finite_pixels():
    points = torch.tensor([[0.1, 0.2, -1.0], [0.0, 0.0, 0.0]], requires_grad=True)
    intrinsics = torch.tensor(camera.default_intrinsics(640, 480), dtype=torch.float32)
    camera.project(points, intrinsics).sum().backward()
    assert points.grad.isfinite().all()


def test_projection_gradient_equals_finite_differences():
    points = torch.tensor([[0.3, -0.2, 2.0], [-1.0, 0.5, 5.0]], dtype=torch.float64)
    intrinsics = torch.from_numpy(camera.default_intrinsics(64, 48))
    inputs = (points.requires_grad_(), intrinsics.requires_grad_())
    assert torch.autograd.gradcheck(camera.project, inputs)


@pytest.mark.parametrize("coefficients", [4, 5])
def test_undistort_inverts_distort(coefficients):
    intrinsics = camera.default_intrinsics(1920, 1080)
    pixels = np.random.default_rng(0).uniform((0, 0), (1920, 1080), (3, 50, 2))
    distorted = camera.distort(pixels, intrinsics, LENS[:coefficients])
    undistorted = camera.undistort(distorted, intrinsics, LENS[:coefficients])
    np.testing.assert_allclose(undistorted, pixels, atol=1e-6)
    assert np.abs(distorted - pixels).max() > 10


def test_distort_equals_opencv():
    intrinsics = camera.default_intrinsics(1920, 1080)
    pixels = np.random.default_rng(1).uniform((0, 0), (1920, 1080), (50, 2))
    rays = (pixels - intrinsics[:2, 2]) / intrinsics[0, 0]
    points = np.concatenate((rays, np.ones((50, 1))), -1)
    expected = cv2.projectPoints(points, np.zeros(3), np.zeros(3), intrinsics, LENS)[0][:, 0]
    np.testing.assert_allclose(camera.distort(pixels, intrinsics, LENS), expected, atol=1e-9)


def test_undistort_stays_finite_for_implausible_lenses():
    intrinsics = camera.default_intrinsics(1920, 1080)
    corners = np.array([[0.0, 0.0], [1920.0, 1080.0]])
    assert np.isfinite(camera.undistort(corners, intrinsics, np.array([-3.0, 0, 0, 0]))).all()


def test_wrong_number_of_distortion_coefficients_is_refused():
    with pytest.raises(BadInputError, match="k1 k2 p1 p2"):
        camera.undistort(np.zeros((1, 2)), camera.default_intrinsics(8, 8), np.zeros(3))
