"""Crops: square windows around a person, rotated with the body, and their maps to the frame.

A crop is four numbers: center x, center y and side in pixels of the frame, and an angle in radians
by which its upward axis is rotated from the frame's, clockwise on screen. Pixel coordinates follow
docs/conventions.md: the center of the first pixel is (0.5, 0.5), in the frame and in the crop.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from .blazepose import CROP_SIZE_PX

CROP_MARGIN = 1.25  # side of a crop over the extent of the person, as BlazePose was trained
BODY_RADIUS_RATIO = 1.08  # radius of the whole body over that of BlazePose's keypoints
VARIATIONS = (  # of a crop that is averaged over: shift in sides, factor of the side, radians
    (0, 0, 1, 0),
    (0, 0, 0.85, 0),
    (0, 0, 1.15, 0),
    (0, 0, 1.05, 0.26),
    (0, 0, 1.05, -0.26),
    (0.03, 0.02, 1, 0),
    (-0.02, 0.03, 1, 0),
)


def image_from_crop(
    crops: Float[np.ndarray, "*batch 4"], size: int = CROP_SIZE_PX
) -> Float[np.ndarray, "*batch 3 3"]:
    """Return the similarity transforms from pixels of crops to pixels of the frame.

    Args:
        crops: center x, center y, side in pixels; angle in radians.
        size: side of the crops' images in pixels.

    Example:
        The middle of an unrotated crop of 100 px, resampled to 256 px, is its center:

        >>> crop = np.array([320.0, 240.0, 100.0, 0.0])
        >>> transform_points(np.array([[128.0, 128.0], [256.0, 128.0]]), image_from_crop(crop))
        array([[320., 240.],
               [370., 240.]])
    """
    scale = crops[..., 2] / size
    cosine, sine = scale * np.cos(crops[..., 3]), scale * np.sin(crops[..., 3])
    half = size / 2
    matrix = np.zeros((*crops.shape[:-1], 3, 3))
    matrix[..., 0, 0], matrix[..., 0, 1] = cosine, -sine
    matrix[..., 1, 0], matrix[..., 1, 1] = sine, cosine
    matrix[..., 0, 2] = crops[..., 0] - (cosine - sine) * half
    matrix[..., 1, 2] = crops[..., 1] - (sine + cosine) * half
    matrix[..., 2, 2] = 1
    return matrix


def crop_from_image(
    crops: Float[np.ndarray, "*batch 4"], size: int = CROP_SIZE_PX
) -> Float[np.ndarray, "*batch 3 3"]:
    """Return the similarity transforms from pixels of the frame to pixels of crops.

    Multiplied with the intrinsics of the frame they give the intrinsics of the crops.

    Args:
        crops: center x, center y, side in pixels; angle in radians.
        size: side of the crops' images in pixels.

    Example:
        A point above the center lies to the left in a crop rotated by a quarter turn clockwise:

        >>> crop = np.array([320.0, 240.0, 100.0, np.pi / 2])
        >>> transform_points(np.array([[320.0, 215.0]]), crop_from_image(crop)).round(6)
        array([[ 64., 128.]])
    """
    return np.linalg.inv(image_from_crop(crops, size))


def transform_points(
    points: Float[np.ndarray, "*batch points 2"], matrix: Float[np.ndarray, "*batch 3 3"]
) -> Float[np.ndarray, "*batch points 2"]:
    """Apply an affine map of the plane to points, as `image_from_crop` or `crop_from_image`."""
    return points @ matrix[..., :2, :2].swapaxes(-1, -2) + matrix[..., None, :2, 2]


def camera_from_crop(
    crops: Float[np.ndarray, "*batch 4"], intrinsics: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "*batch 3 3"]:
    """Return the rotations from the crops' axes to the camera's axes.

    A network that reads only a crop takes it for the image of an upright camera directed at the
    crop's center. So the crop's axes are rotated by its angle about the optical axis, then by the
    shortest rotation from the optical axis to the ray through the crop's center.

    Args:
        crops: center x, center y, side in pixels; angle in radians.
        intrinsics: of the frame, in pixels.

    Example:
        The z axis of a crop is the ray through its center:

        >>> intrinsics = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
        >>> ray = camera_from_crop(np.array([820.0, 240, 100, 0.3]), intrinsics) @ (0, 0, 1)
        >>> ray / ray[2]
        array([1., 0., 1.])
    """
    ones = np.ones((*crops.shape[:-1], 1))
    ray = np.concatenate((crops[..., :2], ones), axis=-1) @ np.linalg.inv(intrinsics).T
    x, y, z = np.moveaxis(ray / np.linalg.norm(ray, axis=-1, keepdims=True), -1, 0)
    # Rodrigues' formula for the rotation of (0, 0, 1) to (x, y, z); z > 0 for every pixel.
    rows = (
        (1 - x * x / (1 + z), -x * y / (1 + z), x),
        (-x * y / (1 + z), 1 - y * y / (1 + z), y),
        (-x, -y, z),
    )
    tilt = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    roll = np.zeros((*crops.shape[:-1], 3, 3))
    roll[..., 0, 0] = roll[..., 1, 1] = np.cos(crops[..., 3])
    roll[..., 1, 0] = np.sin(crops[..., 3])
    roll[..., 0, 1] = -roll[..., 1, 0]
    roll[..., 2, 2] = 1
    return tilt @ roll


def crop_around_boxes(
    boxes: Float[np.ndarray, "*batch 4"], margin: float = CROP_MARGIN, angle: float = 0.0
) -> Float[np.ndarray, "*batch 4"]:
    """Return crops around boxes.

    Args:
        boxes: x0, y0, x1, y1 in pixels of the frame.
        margin: side of a crop over the longer side of its box.
        angle: of the crops, radians.

    Example:
        >>> crop_around_boxes(np.array([100.0, 50, 140, 130]))
        array([120.,  90., 100.,   0.])
    """
    low, high = boxes[..., :2], boxes[..., 2:4]
    side = (high - low).max(axis=-1, keepdims=True) * margin
    return np.concatenate(((low + high) / 2, side, np.full_like(side, angle)), axis=-1)


def crop_around_axis(
    hip: Float[np.ndarray, "*batch 2"], tip: Float[np.ndarray, "*batch 2"]
) -> Float[np.ndarray, "*batch 4"]:
    """Return crops around a body's circle, upright along the axis from hip to tip.

    Args:
        hip: center of the circle, the mid-hip; pixels of the frame.
        tip: point of the circle above the head, along the body's upward axis. BlazePose predicts
            both as its auxiliary points.

    Example:
        >>> crop_around_axis(np.array([30.0, 40.0]), np.array([30.0, 0.0]))
        array([ 30.,  40., 100.,   0.])
    """
    upward = tip - hip
    radius = np.linalg.norm(upward, axis=-1, keepdims=True)
    angle = np.arctan2(upward[..., :1], -upward[..., 1:])
    return np.concatenate((hip, 2 * CROP_MARGIN * radius, angle), axis=-1)


def crop_around_points(
    points: Float[np.ndarray, "points 2"], angle: float, margin: float = CROP_MARGIN
) -> Float[np.ndarray, "4"]:
    """Return the smallest crop of an angle that contains points, enlarged by a margin.

    Args:
        points: pixels of the frame.
        angle: of the crop, radians.
        margin: side of the crop over the extent of the points along the crop's axes.
    """
    cosine, sine = np.cos(angle), np.sin(angle)
    image_from_rotated = np.array([[cosine, -sine], [sine, cosine]])
    rotated = points @ image_from_rotated
    low, high = rotated.min(axis=0), rotated.max(axis=0)
    center = image_from_rotated @ ((low + high) / 2)
    return np.array([*center, (high - low).max() * margin, angle])


def rotated_crops(
    crop: Float[np.ndarray, "4"], sizes: tuple[float, ...], num_rotations: int
) -> Float[np.ndarray, "crops 4"]:
    """Return a crop rotated over the full circle, at several sizes.

    Args:
        crop: center, side, angle of the first.
        sizes: factors of its side.
        num_rotations: at each size.
    """
    angles = np.arange(num_rotations) * 2 * np.pi / num_rotations
    factors = np.array([(1, 1, size, 1) for size in sizes])[:, None]
    return (crop * factors + np.outer(angles, (0, 0, 0, 1))).reshape(-1, 4)


def varied_crops(crop: Float[np.ndarray, "4"]) -> Float[np.ndarray, "crops 4"]:
    """Return a crop and slightly shifted, resized and rotated ones."""
    shifts, factors, angles = np.split(np.array(VARIATIONS), (2, 3), axis=1)
    return np.hstack((crop[:2] + shifts * crop[2], crop[2] * factors, crop[3] + angles))


def crop_distance(crop: Float[np.ndarray, "4"], other: Float[np.ndarray, "4"]) -> float:
    """Return the largest of shift, growth and rotation from one crop to another.

    All three are in sides of the second crop. A rotation counts by the distance that it moves the
    middle of a crop's edge.
    """
    shift = float(np.linalg.norm(crop[:2] - other[:2])) / other[2]
    rotation = (crop[3] - other[3] + np.pi) % (2 * np.pi) - np.pi
    return max(shift, abs(crop[2] / other[2] - 1), abs(rotation) / 2)


def extract_crops(
    image: UInt8[np.ndarray, "height width 3"],
    crops: Float[np.ndarray, "crops 4"],
    size: int = CROP_SIZE_PX,
) -> UInt8[np.ndarray, "crops size size 3"]:
    """Resample crops from a frame; pixels outside the frame repeat its border.

    BlazePose was trained on replicated borders; a black border would cost accuracy.

    Args:
        image: the frame, RGB.
        crops: center x, center y, side in pixels; angle in radians.
        size: side of the resampled images in pixels.
    """
    resampled = np.empty((len(crops), size, size, 3), np.uint8)
    for target, matrix, side in zip(
        resampled, image_from_crop(crops, size), crops[:, 2], strict=True
    ):
        _extract_crop(image, matrix, max(1, int(side / size)), target)
    return resampled


def _extract_crop(image: np.ndarray, matrix: np.ndarray, shrink: int, target: np.ndarray) -> None:
    """Resample one crop into `target`, after averaging the frame down by the factor `shrink`."""
    size = len(target)
    corners = transform_points(np.array([[0.0, 0], [size, 0], [0, size], [size, size]]), matrix)
    limit = np.array(image.shape[1::-1])
    shrink = min(shrink, *limit)  # a frame of one pixel is still a frame
    low = (np.floor(corners.min(axis=0)) - 2 * shrink).clip(0, limit - shrink).astype(int)
    high = (np.ceil(corners.max(axis=0)) + 2 * shrink).clip(low + shrink, limit).astype(int)
    blocks = (high - low) // shrink
    part = image[low[1] : low[1] + blocks[1] * shrink, low[0] : low[0] + blocks[0] * shrink]
    if shrink > 1:
        part = cv2.resize(part, tuple(map(int, blocks)), interpolation=cv2.INTER_AREA)
    # From pixels of the crop to pixels of the part; OpenCV counts both from the first center.
    affine = matrix[:2].copy()
    affine[:, 2] = (affine[:, 2] - low + affine[:, :2] @ (0.5, 0.5)) / shrink - 0.5
    affine[:, :2] /= shrink
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cv2.warpAffine(part, affine, (size, size), target, flags, cv2.BORDER_REPLICATE)
