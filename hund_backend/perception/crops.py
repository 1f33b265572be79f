"""Crops: square windows round a person, turned with the body, and the way between them and the frame.

A crop is four numbers: centre x, centre y and side in pixels of the frame, and the turn in radians,
clockwise on screen, by which its upward axis leaves the frame's. Pixels are counted as everywhere
(docs/conventions.md): the centre of the first pixel is (0.5, 0.5), in the frame and in the crop.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from .blazepose import CROP_SIZE_PX

MARGIN = 1.25  # side of a crop over the extent of the person, as BlazePose was trained
BEYOND = 1.08  # radius of the whole body over that of BlazePose's keypoints


def image_from_crop(
    crops: Float[np.ndarray, "*batch 4"], size: int = CROP_SIZE_PX
) -> Float[np.ndarray, "*batch 3 3"]:
    """Similarity that leads from pixels of a crop, `size` px wide, to pixels of the frame."""
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
    """Similarity that leads from pixels of the frame to pixels of a crop, `size` px wide."""
    return np.linalg.inv(image_from_crop(crops, size))


def move(
    points: Float[np.ndarray, "*batch points 2"], matrix: Float[np.ndarray, "*batch 3 3"]
) -> Float[np.ndarray, "*batch points 2"]:
    """Points carried by an affine map of the plane."""
    return points @ matrix[..., :2, :2].swapaxes(-1, -2) + matrix[..., None, :2, 2]


def camera_from_crop(
    crops: Float[np.ndarray, "*batch 4"], intrinsics: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "*batch 3 3"]:
    """Rotation from a crop's own axes to the camera's.

    A network that sees only the crop takes it for a picture by an upright camera that looks straight
    at its centre. So its axes are turned with the crop, then swung from the optical axis to the
    ray through the crop's centre (the shortest way).
    """
    ones = np.ones((*crops.shape[:-1], 1))
    ray = np.concatenate((crops[..., :2], ones), axis=-1) @ np.linalg.inv(intrinsics).T
    x, y, z = np.moveaxis(ray / np.linalg.norm(ray, axis=-1, keepdims=True), -1, 0)
    # Rodrigues' formula for the rotation that takes (0, 0, 1) to (x, y, z); z > 0 for every pixel.
    rows = (
        (1 - x * x / (1 + z), -x * y / (1 + z), x),
        (-x * y / (1 + z), 1 - y * y / (1 + z), y),
        (-x, -y, z),
    )
    swing = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    turn = np.zeros((*crops.shape[:-1], 3, 3))
    turn[..., 0, 0] = turn[..., 1, 1] = np.cos(crops[..., 3])
    turn[..., 1, 0] = np.sin(crops[..., 3])
    turn[..., 0, 1] = -turn[..., 1, 0]
    turn[..., 2, 2] = 1
    return swing @ turn


def around_boxes(
    boxes: Float[np.ndarray, "*batch 4"], margin: float = MARGIN, turn: float = 0.0
) -> Float[np.ndarray, "*batch 4"]:
    """Crops round boxes x0, y0, x1, y1: `margin` times the longer side, turned by `turn` radians."""
    low, high = boxes[..., :2], boxes[..., 2:4]
    side = (high - low).max(axis=-1, keepdims=True) * margin
    return np.concatenate(((low + high) / 2, side, np.full_like(side, turn)), axis=-1)


def around_axis(
    hip: Float[np.ndarray, "*batch 2"], tip: Float[np.ndarray, "*batch 2"]
) -> Float[np.ndarray, "*batch 4"]:
    """Crops from BlazePose's two auxiliary points: the mid-hip and the top of the circle round the body."""
    upward = tip - hip
    radius = np.linalg.norm(upward, axis=-1, keepdims=True)
    turn = np.arctan2(upward[..., :1], -upward[..., 1:])
    return np.concatenate((hip, 2 * MARGIN * radius, turn), axis=-1)


def around_points(
    points: Float[np.ndarray, "points 2"], turn: float, margin: float = MARGIN
) -> Float[np.ndarray, "4"]:
    """The smallest turned square round some points, widened by `margin`."""
    cosine, sine = np.cos(turn), np.sin(turn)
    rotation = np.array([[cosine, -sine], [sine, cosine]])  # frame from crop
    turned = points @ rotation
    low, high = turned.min(axis=0), turned.max(axis=0)
    center = rotation @ ((low + high) / 2)
    return np.array([*center, (high - low).max() * margin, turn])


def difference(crop: Float[np.ndarray, "4"], other: Float[np.ndarray, "4"]) -> float:
    """How far two crops are apart, in sides of the second: the largest of shift, growth and turn.

    A turn counts by the way that it moves the middle of a crop's edge.
    """
    shift = float(np.linalg.norm(crop[:2] - other[:2])) / other[2]
    turn = (crop[3] - other[3] + np.pi) % (2 * np.pi) - np.pi
    return max(shift, abs(crop[2] / other[2] - 1), abs(turn) / 2)


def cut(
    image: UInt8[np.ndarray, "height width 3"],
    crops: Float[np.ndarray, "crops 4"],
    size: int = CROP_SIZE_PX,
) -> UInt8[np.ndarray, "crops size size 3"]:
    """Pictures of the crops; beyond the frame its last pixels are repeated.

    A black border would cost accuracy: the network was trained on replicated ones.
    """
    pictures = np.empty((len(crops), size, size, 3), np.uint8)
    for picture, matrix, side in zip(
        pictures, image_from_crop(crops, size), crops[:, 2], strict=True
    ):
        _cut_one(image, matrix, max(1, int(side / size)), picture)
    return pictures


def _cut_one(image: np.ndarray, matrix: np.ndarray, shrink: int, picture: np.ndarray) -> None:
    """Cut one crop; where it is smaller than its part of the frame that part is averaged down first."""
    size = len(picture)
    corners = move(np.array([[0.0, 0], [size, 0], [0, size], [size, size]]), matrix)
    limit = np.array(image.shape[1::-1])
    shrink = min(shrink, *limit)  # a frame of one pixel is still a frame
    low = (np.floor(corners.min(axis=0)) - 2 * shrink).clip(0, limit - shrink).astype(int)
    high = (np.ceil(corners.max(axis=0)) + 2 * shrink).clip(low + shrink, limit).astype(int)
    blocks = (high - low) // shrink
    part = image[low[1] : low[1] + blocks[1] * shrink, low[0] : low[0] + blocks[0] * shrink]
    if shrink > 1:
        part = cv2.resize(part, tuple(map(int, blocks)), interpolation=cv2.INTER_AREA)
    # From pixels of the crop to pixels of the part, then both counted from 0 as OpenCV does.
    affine = matrix[:2].copy()
    affine[:, 2] = (affine[:, 2] - low + affine[:, :2] @ (0.5, 0.5)) / shrink - 0.5
    affine[:, :2] /= shrink
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cv2.warpAffine(part, affine, (size, size), picture, flags, cv2.BORDER_REPLICATE)
