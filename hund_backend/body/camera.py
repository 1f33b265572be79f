"""The pinhole camera: intrinsics of frames and crops, projection, lens distortion.

Camera frame: x right, y down, z forward, metres. Pixels: x right, y down, the centre of the first
pixel at (0.5, 0.5), so that a frame's middle is (width / 2, height / 2).
"""

from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hund_backend.errors import BadInputError

Array = TypeVar("Array", np.ndarray, Tensor)

NEAREST = 1e-3  # metres; points nearer than this project as if they stood there
UNDISTORT_ITERATIONS = 50
SMALLEST_STRETCH = 0.05  # keeps far corners of a badly described lens finite


def intrinsics_from_focal(focal_px: float, width: int, height: int) -> Float[np.ndarray, "3 3"]:
    """Intrinsics with square pixels and the principal point in the middle of the frame.

    Raises:
        BadInputError: the focal length is not a positive number.
    """
    if not (np.isfinite(focal_px) and focal_px > 0):
        raise BadInputError(
            f"The focal length is {focal_px} px: give a positive number of pixels."
        )
    return np.array([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1.0]])


def intrinsics_from_fov(fov_deg: float, width: int, height: int) -> Float[np.ndarray, "3 3"]:
    """Intrinsics from the horizontal field of view in degrees.

    Raises:
        BadInputError: the field of view is not between 0 and 180 degrees.
    """
    if not 0 < fov_deg < 180:
        raise BadInputError(
            f"The field of view is {fov_deg} degrees: give the horizontal one, between 0 and 180."
        )
    return intrinsics_from_focal(width / 2 / np.tan(np.deg2rad(fov_deg) / 2), width, height)


def default_intrinsics(width: int, height: int) -> Float[np.ndarray, "3 3"]:
    """Intrinsics for an unknown camera: a focal length of the longer side, as in the HUND paper."""
    return intrinsics_from_focal(float(max(width, height)), width, height)


def crop_intrinsics(intrinsics: Array, crop_from_image: Array) -> Array:
    """Intrinsics "*batch 3 3" of crops from the frame's and the affine maps of pixels to crops.

    Arrays of NumPy or torch alike; leading axes broadcast. A turned crop has skewed intrinsics.
    """
    return crop_from_image @ intrinsics


def project(
    points: Float[Tensor, "*#batch points 3"], intrinsics: Float[Tensor, "*#batch 3 3"]
) -> Float[Tensor, "*batch points 2"]:
    """Pixels of points in the camera frame; points behind the camera stay finite."""
    depths = points[..., 2:].clamp_min(NEAREST)
    rays = torch.cat((points[..., :2] / depths, torch.ones_like(depths)), dim=-1)
    return rays @ intrinsics[..., :2, :].transpose(-1, -2)


def distort(
    pixels: Float[np.ndarray, "*batch points 2"],
    intrinsics: Float[np.ndarray, "3 3"],
    distortion: Float[np.ndarray, " coefficients"],
) -> Float[np.ndarray, "*batch points 2"]:
    """Where the lens puts the pixels of an ideal pinhole camera.

    Args:
        pixels: of the pinhole camera.
        intrinsics: of the full frame, shared by both cameras.
        distortion: k1, k2, p1, p2 and optionally k3 of Brown and Conrady, in OpenCV's order
            (Brown, "Close-Range Camera Calibration", 1971).
    """
    rays = _rays_from_pixels(pixels, intrinsics)
    stretch, shift = _lens(rays, distortion)
    return _pixels_from_rays(rays * stretch + shift, intrinsics)


def undistort(
    pixels: Float[np.ndarray, "*batch points 2"],
    intrinsics: Float[np.ndarray, "3 3"],
    distortion: Float[np.ndarray, " coefficients"],
) -> Float[np.ndarray, "*batch points 2"]:
    """Pixels of an ideal pinhole camera for pixels seen through the lens; inverse of `distort`.

    Solved by fixed-point iteration; outside the region where the lens model can be inverted the
    answer is finite but means nothing.
    """
    seen = _rays_from_pixels(pixels, intrinsics)
    rays = seen
    for _ in range(UNDISTORT_ITERATIONS):
        stretch, shift = _lens(rays, distortion)
        rays = (seen - shift) / np.maximum(stretch, SMALLEST_STRETCH)
    return _pixels_from_rays(rays, intrinsics)


def _lens(rays: np.ndarray, distortion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Radial stretch and tangential shift of rays (x / z, y / z)."""
    if len(distortion) not in (4, 5):
        raise BadInputError(
            f"The lens distortion has {len(distortion)} numbers: give k1 k2 p1 p2 and perhaps k3."
        )
    k1, k2, p1, p2, k3 = (*distortion, 0.0)[:5]
    x, y = rays[..., :1], rays[..., 1:]
    square = x * x + y * y
    stretch = 1 + square * (k1 + square * (k2 + square * k3))
    shift_x = 2 * p1 * x * y + p2 * (square + 2 * x * x)
    shift_y = p1 * (square + 2 * y * y) + 2 * p2 * x * y
    return stretch, np.concatenate((shift_x, shift_y), axis=-1)


def _rays_from_pixels(pixels: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    inverse = np.linalg.inv(intrinsics)
    return pixels @ inverse[:2, :2].T + inverse[:2, 2]


def _pixels_from_rays(rays: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    return rays @ intrinsics[:2, :2].T + intrinsics[:2, 2]
