"""Image files: any file that OpenCV can decode, as upright 8-bit RGB."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from .errors import BadInputError

# Transparent pixels are blended with mid-gray: against black or white a person in dark or light
# clothes would lose the outline. The color of fully transparent pixels is undefined.
TRANSPARENT_GRAY = 128

JPEG = b"\xff\xd8"


def read_image(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """Read an image; gray, paletted, CMYK, 16-bit and transparent ones become 8-bit RGB.

    The orientation in the file (EXIF) is applied. The path may contain any characters.

    Raises:
        BadInputError: the file is missing, unreadable or no image.
    """
    try:
        encoded = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise BadInputError(f"{path} cannot be read ({error.strerror}).") from error
    image = _decode(encoded, cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise BadInputError(f"{path.name} is damaged or no picture: save it again as PNG or JPEG.")
    if encoded[:2].tobytes() == JPEG:
        return image
    full = _decode(encoded, cv2.IMREAD_UNCHANGED)
    if full is None or full.ndim != 3 or full.shape[2] != 4 or full.shape[:2] != image.shape[:2]:
        return image
    return _blend(image, full[..., 3:].astype(np.float32) / np.iinfo(full.dtype).max)


def over_gray(
    image: UInt8[np.ndarray, "height width 4"],
) -> UInt8[np.ndarray, "height width 3"]:
    """Return an RGBA image over mid-gray."""
    opacity = image[..., 3:]
    return image[..., :3] if opacity.min() == 255 else _blend(image[..., :3], opacity / 255)


def _blend(
    image: UInt8[np.ndarray, "height width 3"], opacity: Float[np.ndarray, "height width 1"]
) -> UInt8[np.ndarray, "height width 3"]:
    return np.rint(image * opacity + TRANSPARENT_GRAY * (1 - opacity)).astype(np.uint8)


def _decode(encoded: UInt8[np.ndarray, " bytes"], flags: int) -> np.ndarray | None:
    """Decode an image; None if OpenCV fails, also for more than 2^30 pixels."""
    try:
        return cv2.imdecode(encoded, flags)
    except cv2.error:
        return None


def encode_png(image: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """Return the content of a PNG file of an RGB image."""
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
