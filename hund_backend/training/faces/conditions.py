"""Conditions that hide or spoil a face: masks, hands, glasses, darkness, blur, small size, drawings.

They are put on crops of faces, synthetic or real, by the places of the landmarks in them.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Crop = UInt8[np.ndarray, "256 256 3"]
Points = Float[np.ndarray, "478 2"]
Change = Callable[[Crop, Points, np.random.Generator], Crop]

_JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)
_JAW += (377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
_BRIDGES = (6, 197, 195, 5)  # of the nose, from high to low: upper edges of a mask
_OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377)
_OVAL += (152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
_EYES = ((33, 133), (362, 263))  # corners of the right and the left eye
_MOUTH = (61, 291, 0, 17)
_CHEEKS = (50, 280, 10, 151)  # where skin is seen


class Condition(NamedTuple):
    """What is done to a crop, and what of the face is hidden by it."""

    change: Change
    hides_eyes: bool = False
    hides_mouth: bool = False


def _eye_distance(points: Points) -> float:
    return float(np.linalg.norm(points[33] - points[263]))


def _skin(image: Crop, points: Points) -> np.ndarray:
    """Return the color of the skin."""
    places = points[list(_CHEEKS)].astype(int).clip(2, 253)
    return np.mean([image[y - 2 : y + 3, x - 2 : x + 3].mean(axis=(0, 1)) for x, y in places], 0)


def _covered(image: Crop, shape: np.ndarray, color: np.ndarray, rng: np.random.Generator) -> Crop:
    """Return the image with a shape (0…1) in a color, with some light and shade."""
    shade = cv2.resize(rng.uniform(0.75, 1.2, (5, 5)), (256, 256), interpolation=cv2.INTER_CUBIC)
    shape = cv2.GaussianBlur(shape, (0, 0), rng.uniform(0.6, 1.5))[..., None]
    painted = color * shade[..., None] + rng.normal(0, 3, image.shape)
    return (image * (1 - shape) + painted * shape).clip(0, 255).astype(np.uint8)


def _polygon(corners: np.ndarray) -> np.ndarray:
    shape = np.zeros((256, 256))
    cv2.fillPoly(shape, [corners.round().astype(np.int32)], 1.0)
    return shape


def mask(image: Crop, points: Points, rng: np.random.Generator) -> Crop:
    """A mask of cloth over nose, mouth and chin."""
    jaw, top = points[list(_JAW)], points[int(rng.choice(_BRIDGES))]
    low = 0.15 * _eye_distance(points) * rng.uniform(-0.3, 1)
    ends = jaw[[0, -1]] + (0, low)
    corners = np.concatenate((ends[:1], jaw[2:-2], ends[1:], top[None]))
    colors = np.array([[150, 190, 215], [240, 240, 240], [25, 25, 30], [90, 120, 90]])
    color = colors[rng.integers(len(colors))] + rng.normal(0, 15, 3)
    return _covered(image, _polygon(corners), color, rng)


def _fingers(
    image: Crop, points: Points, place: np.ndarray, rng: np.random.Generator, reach: float
) -> Crop:
    """Return the image with a hand of the skin's color over a place."""
    size, shape, lines = _eye_distance(points), np.zeros((256, 256)), np.zeros((256, 256))
    angle = rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    aside = np.array([-along[1], along[0]])
    width = size * rng.uniform(0.2, 0.3)
    count = int(rng.integers(3, 5))
    for finger in range(count):
        middle = place + aside * width * (finger - (count - 1) / 2)
        tip = middle + along * size * reach * rng.uniform(0.6, 1)
        root = middle - along * size * rng.uniform(1.0, 1.6)
        ends = [tuple(map(int, each)) for each in (root, tip)]
        cv2.line(shape, *ends, 1.0, max(2, int(width)))
        edge = [tuple(map(int, each + aside * width / 2)) for each in (root, tip)]
        cv2.line(lines, *edge, 1.0, max(1, int(width / 8)))
    skin = _skin(image, points) * rng.uniform(0.75, 1.1)
    image = _covered(image, shape, skin, rng)
    return _covered(image, 0.6 * lines * shape, 0.5 * skin, rng)


def hand_over_mouth(image: Crop, points: Points, rng: np.random.Generator) -> Crop:
    """Fingers over the mouth."""
    place = points[list(_MOUTH)].mean(axis=0) + rng.normal(0, 4, 2)
    return _fingers(image, points, place, rng, 0.6)


def hand_over_eyes(image: Crop, points: Points, rng: np.random.Generator) -> Crop:
    """Fingers over both eyes."""
    place = points[[corner for eye in _EYES for corner in eye]].mean(axis=0)
    size, angle = _eye_distance(points), rng.uniform(-0.3, 0.3)
    along = np.array([np.cos(angle), np.sin(angle)]) * size
    shape = np.zeros((256, 256))
    ends = [tuple(map(int, place + side * along)) for side in (-1, 0.7)]
    cv2.line(shape, *ends, 1.0, int(size * rng.uniform(0.45, 0.7)))
    return _covered(image, shape, _skin(image, points) * rng.uniform(0.75, 1.1), rng)


def thing_before_mouth(image: Crop, points: Points, rng: np.random.Generator) -> Crop:
    """A cup or a microphone before the mouth."""
    place, size = points[list(_MOUTH)].mean(axis=0), _eye_distance(points)
    shape = np.zeros((256, 256))
    axes = tuple((size * rng.uniform(0.45, 0.8, 2)).astype(int))
    center = tuple((place + rng.normal(0, 0.08 * size, 2)).astype(int))
    cv2.ellipse(shape, center, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    return _covered(image, shape, rng.uniform(10, 240, 3), rng)


def sunglasses(image: Crop, points: Points, rng: np.random.Generator) -> Crop:
    """Dark lenses."""
    size, shape = _eye_distance(points), np.zeros((256, 256))
    axes = (size * rng.uniform((0.26, 0.18), (0.32, 0.27))).astype(int)
    centers = [points[list(eye)].mean(axis=0) for eye in _EYES]
    for center in centers:
        cv2.ellipse(shape, tuple(map(int, center)), tuple(axes), 0, 0, 360, 1.0, -1)
    cv2.line(shape, *(tuple(map(int, center)) for center in centers), 1.0, max(1, int(size / 25)))
    return _covered(image, rng.uniform(0.85, 1) * shape, rng.uniform(0, 45, 3), rng)


def rims(image: Crop, points: Points, rng: np.random.Generator) -> Crop:
    """Glasses through which eyes are seen."""
    size, shape = _eye_distance(points), np.zeros((256, 256))
    axes = (size * rng.uniform((0.26, 0.18), (0.32, 0.25))).astype(int)
    width = max(1, int(size / 40 * rng.uniform(0.6, 2)))
    centers = [points[list(eye)].mean(axis=0) for eye in _EYES]
    for center in centers:
        cv2.ellipse(shape, tuple(map(int, center)), tuple(axes), 0, 0, 360, 1.0, width)
    inner = [centers[0] + (axes[0], 0), centers[1] - (axes[0], 0)]
    cv2.line(shape, *(tuple(map(int, end)) for end in inner), 1.0, width)
    return _covered(image, shape, rng.uniform(0, 80, 3), rng)


def covered(image: Crop, points: Points, rng: np.random.Generator) -> Crop:
    """Something before the whole face."""
    corners = points[list(_OVAL)]
    middle = corners.mean(axis=0)
    corners = middle + (corners - middle) * rng.uniform(0.8, 1.3)
    color = _skin(image, points) if rng.random() < 0.5 else rng.uniform(10, 240, 3)
    return _covered(image, _polygon(corners), color * rng.uniform(0.7, 1.1), rng)


def dark(image: Crop, points: Points, rng: np.random.Generator) -> Crop:
    """Little light, with noise."""
    noise = rng.normal(0, rng.uniform(2, 7), image.shape)
    return (
        (image * np.exp(rng.uniform(np.log(0.04), np.log(0.6))) + noise)
        .clip(0, 255)
        .astype(np.uint8)
    )


def bright(image: Crop, points: Points, rng: np.random.Generator) -> Crop:
    """Other light, contrast and color."""
    gamma, gain = rng.uniform(0.6, 1.6), rng.uniform(0.6, 1.5, 3) ** 0.5
    return (255 * (image / 255) ** gamma * gain).clip(0, 255).astype(np.uint8)


def blurred(image: Crop, points: Points, rng: np.random.Generator) -> Crop:
    """Out of focus, or in motion."""
    size = _eye_distance(points)
    if rng.random() < 0.5:
        return cv2.GaussianBlur(image, (0, 0), size * rng.uniform(0.008, 0.1))
    length = max(3, int(size * rng.uniform(0.05, 0.5)))
    kernel = np.zeros((length, length))
    angle = rng.uniform(0, np.pi)
    offset = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    ends = [tuple(map(int, length / 2 + side * offset)) for side in (-1, 1)]
    cv2.line(kernel, *ends, 1.0, 1)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def small(image: Crop, points: Points, rng: np.random.Generator) -> Crop:
    """Fewer pixels."""
    side = max(8, int(256 * rng.uniform(14, 90) / (1.5 * _eye_distance(points))))
    tiny = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(tiny, (256, 256), interpolation=cv2.INTER_LINEAR)


def drawing(image: Crop, points: Points, rng: np.random.Generator) -> Crop:
    """Dark lines on paper, with flat colors or without."""
    gray = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), rng.uniform(1, 2.5))
    low = rng.uniform(8, 25)
    lines = cv2.Canny(gray, low, 2.5 * low)
    if rng.random() < 0.5:
        lines = cv2.dilate(lines, np.ones((2, 2)))
    paper = np.full(image.shape, rng.uniform(190, 255, 3))
    if rng.random() < 0.4:
        levels = int(rng.integers(2, 5))
        flat = cv2.medianBlur(image, 9)
        paper = (flat // (256 // levels) + 0.5) * (256 / levels)
    return np.where(lines[..., None] > 0, rng.uniform(0, 60), paper).astype(np.uint8)


def compressed(image: Crop, points: Points, rng: np.random.Generator) -> Crop:
    """Stored with little space."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(8, 60))]
    side = int(rng.uniform(90, 256))
    stored = cv2.imencode(".jpg", cv2.resize(image, (side, side)), quality)[1]
    return cv2.resize(cv2.imdecode(stored, cv2.IMREAD_COLOR), (256, 256))


CONDITIONS: dict[str, Condition] = {
    "rims": Condition(rims),
    "sunglasses": Condition(sunglasses, hides_eyes=True),
    "mask": Condition(mask, hides_mouth=True),
    "hand over mouth": Condition(hand_over_mouth, hides_mouth=True),
    "thing before mouth": Condition(thing_before_mouth, hides_mouth=True),
    "hand over eyes": Condition(hand_over_eyes, hides_eyes=True),
    "covered": Condition(covered, hides_eyes=True, hides_mouth=True),
    "dark": Condition(dark),
    "bright": Condition(bright),
    "blurred": Condition(blurred),
    "small": Condition(small),
    "drawing": Condition(drawing),
    "compressed": Condition(compressed),
}
