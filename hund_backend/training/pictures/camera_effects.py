"""Camera effects: exposure, blur, noise and compression turn light into a picture."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from ...perception.crops import crop_from_image, image_from_crop, transform_points
from .views import View


def apply_camera_effects(
    light: Float[np.ndarray, "size size 3"],
    subject: Bool[np.ndarray, "size size"],
    view: View,
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "size size 3"]:
    """Turn light into a crop as the tracker would cut it from a video's frame.

    Args:
        light: linear.
        subject: mask of the person, for whom cameras mostly expose.
        view: the frame and the crop.
        rng: random numbers.
    """
    size = len(light)
    picture = _expose(light, subject, rng)
    coarse = rng.uniform(0.2, 0.8) if rng.random() < 0.2 else 1.0  # of videos made larger
    sensor = int(np.clip(view.crop[2] * coarse, 48, size))  # pixels that the frame has for it
    picture = cv2.resize(picture, (sensor, sensor), interpolation=cv2.INTER_AREA)
    picture = _blur(picture, rng)
    noise = rng.choice((0.0, 0.01, 0.025, 0.05)) * rng.uniform(0.5, 1.3)
    grain = rng.standard_normal(picture.shape, np.float32)
    if rng.random() < 0.5:
        grain = np.repeat(grain[..., :1], 3, axis=-1)
    picture = picture + noise * grain * np.sqrt(picture.clip(0.02, 1))
    pixels = np.rint(picture.clip(0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.8:
        pixels = _compress(pixels, int(rng.uniform(25, 95)))
    if sensor < size:
        kind = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_CUBIC
        pixels = cv2.resize(pixels, (size, size), interpolation=kind)
    return _repeat_edges(pixels, view)


def _expose(
    light: Float[np.ndarray, "size size 3"],
    subject: Bool[np.ndarray, "size size"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "size size 3"]:
    """Values of sRGB with exposure, color cast and contrast."""
    gray = light.mean(-1)
    whole = np.percentile(gray, 80)
    person = np.percentile(gray[subject], 75) if subject.any() else whole
    share = rng.uniform(0.3, 1)
    metered = 0.4 / (share * person + (1 - share) * whole).clip(5e-3)
    exposure = metered ** rng.uniform(0.7, 1) * np.exp(rng.normal(0, 0.25))
    warmth = rng.normal(0, 0.08)
    cast = np.exp(np.array([warmth, rng.normal(0, 0.03), -warmth]))
    exposed = light * (exposure * cast).astype(np.float32)
    exposed = exposed * (1 + exposed / 9) / (1 + exposed * 0.6)  # shoulder of the film
    picture = (exposed * 1.25).clip(0, 1) ** (1 / 2.2)
    gray = picture.mean(-1, keepdims=True)
    picture = gray + (picture - gray) * (0 if rng.random() < 0.04 else rng.uniform(0.6, 1.25))
    return 0.5 + (picture - 0.5) * rng.uniform(0.75, 1.2) + rng.normal(0, 0.03)


def _blur(
    picture: Float[np.ndarray, "height width 3"], rng: np.random.Generator
) -> Float[np.ndarray, "height width 3"]:
    """Defocus, motion blur, sharpening, or none."""
    kind = rng.random()
    if kind < 0.35:
        return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.3))
    if kind < 0.5:
        length = int(rng.integers(3, 10))
        kernel = np.zeros((length, length), np.float32)
        middle, angle = (length - 1) / 2, rng.uniform(0, np.pi)
        for step in np.linspace(-middle, middle, 2 * length):
            row, column = middle + step * np.sin(angle), middle + step * np.cos(angle)
            kernel[round(row), round(column)] = 1
        return cv2.filter2D(picture, -1, kernel / kernel.sum())
    if kind < 0.62:
        soft = cv2.GaussianBlur(picture, (0, 0), 1.2)
        return picture + rng.uniform(0.3, 1.2) * (picture - soft)
    return picture


def _compress(pixels: UInt8[np.ndarray, "_ _ 3"], quality: int) -> UInt8[np.ndarray, "_ _ 3"]:
    _, coded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1]


def clamp_to_frame(
    crop: Float[np.ndarray, "4"], frame_size: tuple[int, int], size: int
) -> tuple[Float[np.ndarray, "size size 2"], np.ndarray]:
    """Pixels of a crop clamped to the frame, in the crop, and whether they were inside."""
    middle = np.arange(size, dtype=np.float32) + 0.5
    pixels = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2)
    in_image = transform_points(pixels, image_from_crop(crop, size))
    clamped = in_image.clip((0.5, 0.5), np.array(frame_size) - 0.5)
    inside = (np.abs(clamped - in_image) < 0.5).all(-1).reshape(size, size)
    return transform_points(clamped, crop_from_image(crop, size)).reshape(size, size, 2), inside


def _repeat_edges(
    pixels: UInt8[np.ndarray, "size size 3"], view: View
) -> UInt8[np.ndarray, "size size 3"]:
    """Repeat the frame's last pixels beyond it, as crops are cut."""
    places, inside = clamp_to_frame(view.crop, view.frame_size, len(pixels))
    if inside.all():
        return np.ascontiguousarray(pixels)
    x, y = (np.ascontiguousarray(places[..., k] - 0.5, np.float32) for k in (0, 1))
    return cv2.remap(pixels, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
