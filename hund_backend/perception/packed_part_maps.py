"""Packed part maps: at each pixel the two likeliest parts and their probabilities, in three bytes.

Probabilities of 15 channels would take 61 kB a frame as bytes, 140 MB for a clip of 2,300 frames.
The two likeliest take 12 kB, and the remainder is small (see `unpack_part_maps`).
"""

import numpy as np
from jaxtyping import Float32, UInt8

from ..body.skeleton import PART_MIRROR, PART_NAMES

LABEL_BITS = 4
LABEL_MASK = 2**LABEL_BITS - 1
assert len(PART_NAMES) <= LABEL_MASK + 1


def pack_part_maps(
    probs: Float32[np.ndarray, "*batch parts height width"],
) -> UInt8[np.ndarray, "*batch 3 height width"]:
    """Pack part probabilities.

    Args:
        probs: of the parts, in the order of PART_NAMES; they sum to one at every pixel.

    Returns:
        Three channels: the likeliest part + 16 x the second; the probabilities of both times 255.

    Example:
        >>> probs = np.zeros((15, 1, 1), np.float32)
        >>> probs[[2, 5], 0, 0] = 0.8, 0.2
        >>> pack_part_maps(probs).ravel()  # 2 + 16 * 5, 255 * 0.8, 255 * 0.2
        array([ 82, 204,  51], dtype=uint8)
    """
    first = probs.argmax(axis=-3, keepdims=True)
    first_probs = np.take_along_axis(probs, first, axis=-3)
    others = probs.copy()
    np.put_along_axis(others, first, -1, axis=-3)
    second = others.argmax(axis=-3, keepdims=True)
    second_probs = np.take_along_axis(others, second, axis=-3)
    labels = (first | second << LABEL_BITS).astype(np.uint8)
    packed_probs = np.concatenate((first_probs, second_probs), axis=-3)
    return np.concatenate((labels, (packed_probs * 255).round().astype(np.uint8)), axis=-3)


def unpack_part_maps(
    parts: UInt8[np.ndarray, "*batch 3 height width"],
) -> Float32[np.ndarray, "*batch parts height width"]:
    """Unpack part probabilities; the remainder is distributed evenly over the other 13 parts."""
    packed_probs = parts[..., 1:, :, :].astype(np.float32) / 255
    rest = (1 - packed_probs.sum(axis=-3, keepdims=True)).clip(min=0) / (len(PART_NAMES) - 2)
    height, width = parts.shape[-2:]
    probs = np.broadcast_to(rest, (*parts.shape[:-3], len(PART_NAMES), height, width)).copy()
    np.put_along_axis(probs, _labels(parts), packed_probs, axis=-3)
    return probs


def likeliest_part(
    parts: UInt8[np.ndarray, "*batch 3 height width"],
) -> UInt8[np.ndarray, "*batch height width"]:
    """Return the likeliest part of each pixel, an index into PART_NAMES."""
    return parts[..., 0, :, :] & LABEL_MASK


def mirror_part_maps(
    parts: UInt8[np.ndarray, "*batch 3 height width"],
) -> UInt8[np.ndarray, "*batch 3 height width"]:
    """Return the maps of the mirrored person: columns reversed, left and right parts swapped."""
    return swap_part_sides(parts[..., ::-1], PART_NAMES)


def swap_part_sides(
    parts: UInt8[np.ndarray, "*batch 3 height width"], names: tuple[str, ...]
) -> UInt8[np.ndarray, "*batch 3 height width"]:
    """Swap left and right among some parts; the pixels stay where they are.

    Args:
        parts: packed maps.
        names: parts to swap, both sides of each.
    """
    other = [PART_MIRROR[i] if name in names else i for i, name in enumerate(PART_NAMES)]
    first, second = np.moveaxis(np.array(other, np.uint8)[_labels(parts)], -3, 0)
    swapped = parts.copy()
    swapped[..., 0, :, :] = first | second << LABEL_BITS
    return swapped


def _labels(
    parts: UInt8[np.ndarray, "*batch 3 height width"],
) -> UInt8[np.ndarray, "*batch 2 height width"]:
    """Return the two likeliest parts of each pixel."""
    labels = parts[..., :1, :, :]
    return np.concatenate((labels & LABEL_MASK, labels >> LABEL_BITS), axis=-3)
