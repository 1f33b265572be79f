"""Color: decoded frames as 8-bit RGB; HDR as SDR would look, transparent pixels over mid-gray."""

from functools import cache

import av
import numpy as np
from jaxtyping import Float, UInt8

from ..image_file import over_gray

PQ, HLG = 16, 18  # transfer characteristics (ITU-T H.273)
REFERENCE_WHITE = 203.0  # cd/m², of diffuse white in HDR (ITU-R BT.2408)
HLG_PEAK = 1000.0  # cd/m²
KNEE = 0.5  # of diffuse white: darker light is kept, brighter light is compressed
SDR_GAMMA = 2.4
TABLE_BITS = 7  # for each channel of the table
RGB709_FROM_RGB2020 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)
LUMINANCE_2020 = np.array([0.2627, 0.678, 0.0593])


def is_hdr(frame: av.VideoFrame) -> bool:
    """Return whether a frame's code values are those of an HDR transfer function."""
    return int(frame.color_trc) in (PQ, HLG)


def to_rgb(frame: av.VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
    """Return a decoded frame as RGB that a standard screen shows."""
    if is_hdr(frame):
        index = frame.to_ndarray(format="rgb48le") >> (16 - TABLE_BITS)
        flat = (index[..., 0].astype(np.int32) << TABLE_BITS) | index[..., 1]
        return np.take(_sdr_table(int(frame.color_trc)), (flat << TABLE_BITS) | index[..., 2], 0)
    if _has_alpha(frame.format):
        return over_gray(frame.to_ndarray(format="rgba"))
    return frame.to_ndarray(format="rgb24")


def _has_alpha(pixels: av.VideoFormat) -> bool:
    return pixels.name.startswith(("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya", "pal8"))


@cache
def _sdr_table(transfer: int) -> UInt8[np.ndarray, "colors 3"]:
    """Return the SDR color of each HDR color, for code values in the middle of each step."""
    codes = (np.arange(1 << TABLE_BITS, dtype=np.float32) + 0.5) / (1 << TABLE_BITS)
    colors = np.stack(np.meshgrid(codes, codes, codes, indexing="ij"), -1).reshape(-1, 3)
    return np.rint(255 * sdr_from_hdr(colors, transfer)).astype(np.uint8)


def sdr_from_hdr(
    codes: Float[np.ndarray, "colors 3"], transfer: int
) -> Float[np.ndarray, "colors 3"]:
    """Return SDR code values (BT.709) of HDR code values (BT.2020), both 0…1.

    Light up to half of diffuse white is as in HDR; brighter light approaches the screen's white.

    Args:
        codes: RGB.
        transfer: `PQ` or `HLG`.
    """
    light = (_light_of_pq if transfer == PQ else _light_of_hlg)(codes) / REFERENCE_WHITE
    light = np.maximum(light @ RGB709_FROM_RGB2020.T.astype(codes.dtype), 0)
    brightest = np.maximum(light.max(-1, keepdims=True), 1e-9)
    above = np.maximum(brightest - KNEE, 0) / (1 - KNEE)
    shown = np.minimum(brightest, KNEE) + (1 - KNEE) * (1 - np.exp(-above))
    return np.clip(light * shown / brightest, 0, 1) ** (1 / SDR_GAMMA)


def _light_of_pq(codes: Float[np.ndarray, "colors 3"]) -> Float[np.ndarray, "colors 3"]:
    """Return light in cd/m² (SMPTE ST 2084)."""
    root = codes ** (1 / 78.84375)
    ratio = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
    return 10_000 * ratio ** (1 / 0.1593017578125)


def _light_of_hlg(codes: Float[np.ndarray, "colors 3"]) -> Float[np.ndarray, "colors 3"]:
    """Return light in cd/m² of a screen of 1,000 cd/m² (ITU-R BT.2100)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - c) / a) + b) / 12)
    luminance = np.maximum(scene @ LUMINANCE_2020.astype(codes.dtype), 1e-9)
    return HLG_PEAK * scene * luminance[..., None] ** 0.2
