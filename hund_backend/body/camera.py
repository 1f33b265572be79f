"""Pinhole camera: intrinsics of frames and crops, projection, lens distortion.

Camera frame: x right, y down, z forward, metres. Pixels: x right, y down; the center of the
top-left pixel is (0.5, 0.5), so the center of a frame is (width / 2, height / 2).
"""

from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import BadInputError

Array = TypeVar("Array", np.ndarray, Tensor)

MIN_DEPTH = 1e-3  # metres; nearer points project as if they had this depth
UNDISTORT_ITERATIONS = 50
MIN_RADIAL_SCALE = 0.05  # keeps corners finite for implausible distortion coefficients


def intrinsics_from_focal(focal_px: float, width: int, height: int) -> Float[np.ndarray, "3 3"]:
    """Return intrinsics with square pixels and the principal point in the center of the frame.

    Args:
        focal_px: focal length, pixels.
        width: of the frame, pixels.
        height: of the frame, pixels.

    Raises:
        BadInputError: the focal length is not a positive number.

    Example:
        >>> intrinsics_from_focal(1000.0, 640, 480)
        array([[1000.,    0.,  320.],
               [   0., 1000.,  240.],
               [   0.,    0.,    1.]])
    """
    if not (np.isfinite(focal_px) and focal_px > 0):
        raise BadInputError(
            f"The focal length is {focal_px} px: give a positive number of pixels."
        )
    return np.array([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1.0]])


def intrinsics_from_fov(fov_deg: float, width: int, height: int) -> Float[np.ndarray, "3 3"]:
    """Return intrinsics of a horizontal field of view: focal length = (width / 2) / tan(fov / 2).

    Args:
        fov_deg: horizontal field of view, degrees.
        width: of the frame, pixels.
        height: of the frame, pixels.

    Raises:
        BadInputError: the field of view is not between 0 and 180 degrees.

    Example:
        >>> intrinsics_from_fov(90.0, 640, 480).round(3)
        array([[320.,   0., 320.],
               [  0., 320., 240.],
               [  0.,   0.,   1.]])
    """
    if not 0 < fov_deg < 180:
        raise BadInputError(
            f"The field of view is {fov_deg} degrees: give the horizontal one, between 0 and 180."
        )
    return intrinsics_from_focal(width / 2 / np.tan(np.deg2rad(fov_deg) / 2), width, height)


def default_intrinsics(width: int, height: int) -> Float[np.ndarray, "3 3"]:
    """Return intrinsics of an unknown camera: the focal length is the longer side of the frame.

    As in Zanfir et al., "Neural Descent for Visual 3D Human Pose and Shape" (HUND), CVPR 2021.

    Example:
        >>> float(default_intrinsics(640, 480)[0, 0])
        640.0
    """
    return intrinsics_from_focal(float(max(width, height)), width, height)


def crop_intrinsics(intrinsics: Array, crop_from_image: Array) -> Array:
    """Return the intrinsics of crops, A K; leading axes broadcast. Rotated crops have a skew.

    Args:
        intrinsics: K of the frame, "*batch 3 3", NumPy or torch.
        crop_from_image: A, affine maps from the frame's pixels to the crop's, "*batch 3 3".

    Example:
        >>> half_size = np.diag([0.5, 0.5, 1.0])
        >>> crop_intrinsics(default_intrinsics(640, 480), half_size)
        array([[320.,   0., 160.],
               [  0., 320., 120.],
               [  0.,   0.,   1.]])
    """
    return crop_from_image @ intrinsics


def project(
    points: Float[Tensor, "*#batch points 3"], intrinsics: Float[Tensor, "*#batch 3 3"]
) -> Float[Tensor, "*batch points 2"]:
    """Project points in the camera frame to pixels; points behind the camera stay finite.

    u = K (x / z, y / z, 1) with z of at least `MIN_DEPTH`.

    Example:
        >>> intrinsics = torch.tensor([[1000.0, 0, 320], [0, 1000, 240], [0, 0, 1]])
        >>> project(torch.tensor([[0.0, 0.0, 4.0], [0.5, -0.25, 5.0]]), intrinsics)
        tensor([[320., 240.],
                [420., 190.]])
    """
    depths = points[..., 2:].clamp_min(MIN_DEPTH)
    rays = torch.cat((points[..., :2] / depths, torch.ones_like(depths)), dim=-1)
    return rays @ intrinsics[..., :2, :].transpose(-1, -2)


def distort(
    pixels: Float[np.ndarray, "*batch points 2"],
    intrinsics: Float[np.ndarray, "3 3"],
    distortion: Float[np.ndarray, " coefficients"],
) -> Float[np.ndarray, "*batch points 2"]:
    """Return the distorted pixels of pixels of a pinhole camera.

    Brown-Conrady model in OpenCV's order of coefficients (Brown, "Close-Range Camera Calibration",
    1971): r' = r (1 + k1 ‖r‖² + k2 ‖r‖⁴ + k3 ‖r‖⁶) + tangential terms of p1 and p2, for rays
    r = (x / z, y / z).

    Args:
        pixels: of the pinhole camera.
        intrinsics: of the full frame, shared by both cameras.
        distortion: k1, k2, p1, p2 and optionally k3.

    Raises:
        BadInputError: there are not four or five coefficients.

    Example:
        >>> corner = np.array([[640.0, 480.0]])
        >>> distort(corner, default_intrinsics(640, 480), np.array([-0.1, 0.0, 0.0, 0.0]))
        array([[627.5  , 470.625]])
    """
    rays = _rays_from_pixels(pixels, intrinsics)
    radial, tangential = _distortion_terms(rays, distortion)
    return _pixels_from_rays(rays * radial + tangential, intrinsics)


def undistort(
    pixels: Float[np.ndarray, "*batch points 2"],
    intrinsics: Float[np.ndarray, "3 3"],
    distortion: Float[np.ndarray, " coefficients"],
) -> Float[np.ndarray, "*batch points 2"]:
    """Return the pixels of a pinhole camera for distorted pixels, the inverse of `distort`.

    Solved by fixed-point iteration; where the lens model is not invertible the result is finite
    but meaningless.

    Args:
        pixels: distorted.
        intrinsics: of the full frame, shared by both cameras.
        distortion: k1, k2, p1, p2 and optionally k3.

    Raises:
        BadInputError: there are not four or five coefficients.

    Example:
        >>> distorted = np.array([[627.5, 470.625]])
        >>> undistort(distorted, default_intrinsics(640, 480), np.array([-0.1, 0, 0, 0])).round(3)
        array([[640., 480.]])
    """
    distorted = _rays_from_pixels(pixels, intrinsics)
    rays = distorted
    for _ in range(UNDISTORT_ITERATIONS):
        radial, tangential = _distortion_terms(rays, distortion)
        rays = (distorted - tangential) / np.maximum(radial, MIN_RADIAL_SCALE)
    return _pixels_from_rays(rays, intrinsics)


def _distortion_terms(rays: np.ndarray, distortion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the radial factor and the tangential shift of rays (x / z, y / z)."""
    if len(distortion) not in (4, 5):
        raise BadInputError(
            f"The lens distortion has {len(distortion)} numbers: give k1 k2 p1 p2 [k3]."
        )
    k1, k2, p1, p2, k3 = (*distortion, 0.0)[:5]
    x, y = rays[..., :1], rays[..., 1:]
    square = x * x + y * y
    radial = 1 + square * (k1 + square * (k2 + square * k3))
    shift_x = 2 * p1 * x * y + p2 * (square + 2 * x * x)
    shift_y = p1 * (square + 2 * y * y) + 2 * p2 * x * y
    return radial, np.concatenate((shift_x, shift_y), axis=-1)


def _rays_from_pixels(pixels: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    inverse = np.linalg.inv(intrinsics)
    return pixels @ inverse[:2, :2].T + inverse[:2, 2]


def _pixels_from_rays(rays: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    return rays @ intrinsics[:2, :2].T + intrinsics[:2, 2]
