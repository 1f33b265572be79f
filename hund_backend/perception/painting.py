"""Painting over a person, so that the landmark network sees who stands behind."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from .crops import crop_from_image, image_from_crop

SILHOUETTE = 0.4  # probability from which a pixel is the person's
MARGIN = 2  # px of a 256-px crop, around the silhouette
SPREAD = 12.0  # px of a 256-px crop, from which paint takes its color
FAINT = 1e-3  # weight of the mean color beside that of what is near


def paint_over_person(
    image: UInt8[np.ndarray, "size size 3"],
    crop: Float[np.ndarray, "4"],
    mask: UInt8[np.ndarray, "cells cells"],
    mask_crop: Float[np.ndarray, "4"],
) -> UInt8[np.ndarray, "size size 3"]:
    """Return the image of a crop with a person painted over in the colors around them.

    Args:
        image: of the crop.
        crop: see crops.py.
        mask: silhouette probability of the person's own crop times 255.
        mask_crop: that crop.
    """
    size = len(image)
    matrix = crop_from_image(crop, size) @ image_from_crop(mask_crop, len(mask))
    affine = matrix[:2].copy()  # OpenCV counts both from the first center
    affine[:, 2] += affine[:, :2] @ (0.5, 0.5) - 0.5
    silhouette = cv2.warpAffine(mask, affine, (size, size), flags=cv2.INTER_LINEAR)
    inside = (silhouette > 255 * SILHOUETTE).astype(np.uint8)
    if not inside.any():
        return image
    inside = cv2.dilate(inside, np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8))
    seen = (1 - inside).astype(np.float32)
    colors = image * seen[..., None]
    around = cv2.GaussianBlur(colors, (0, 0), SPREAD)
    share = cv2.GaussianBlur(seen, (0, 0), SPREAD)[..., None]
    mean = colors.sum(axis=(0, 1)) / max(float(seen.sum()), 1.0)
    paint = (around + FAINT * mean) / (share + FAINT)
    return np.where(inside[..., None] > 0, paint, image).round().astype(np.uint8)
