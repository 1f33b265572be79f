"""Part maps in few bytes: at each pixel the two likeliest parts, and how likely they are.

Probabilities of 15 channels would take 61 kB a frame as bytes, 140 MB for a clip of 2,300 frames;
the two likeliest take 12 kB, and what they leave out is small (see `unpacked`).
"""

import numpy as np
from jaxtyping import Float32, UInt8

from hund_backend.body.skeleton import PART_MIRROR, PART_NAMES

SHIFT = 4  # bits of a label
LABEL = 2**SHIFT - 1
assert len(PART_NAMES) <= LABEL + 1


def packed(
    probs: Float32[np.ndarray, "*batch parts height width"],
) -> UInt8[np.ndarray, "*batch 3 height width"]:
    """The likeliest part + 16 x the second, then the probabilities of both times 255.

    Args:
        probs: of the parts, in the order of PART_NAMES; they sum to one at every pixel.
    """
    first = probs.argmax(axis=-3, keepdims=True)
    most = np.take_along_axis(probs, first, axis=-3)
    others = probs.copy()
    np.put_along_axis(others, first, -1, axis=-3)
    second = others.argmax(axis=-3, keepdims=True)
    next_most = np.take_along_axis(others, second, axis=-3)
    labels = (first | second << SHIFT).astype(np.uint8)
    shares = np.concatenate((most, next_most), axis=-3)
    return np.concatenate((labels, (shares * 255).round().astype(np.uint8)), axis=-3)


def unpacked(
    parts: UInt8[np.ndarray, "*batch 3 height width"],
) -> Float32[np.ndarray, "*batch parts height width"]:
    """Probabilities again; what the two likeliest leave is shared among all the others alike."""
    shares = parts[..., 1:, :, :].astype(np.float32) / 255
    rest = (1 - shares.sum(axis=-3, keepdims=True)).clip(min=0) / (len(PART_NAMES) - 2)
    height, width = parts.shape[-2:]
    probs = np.broadcast_to(rest, (*parts.shape[:-3], len(PART_NAMES), height, width)).copy()
    np.put_along_axis(probs, _labels(parts), shares, axis=-3)
    return probs


def labels_of(
    parts: UInt8[np.ndarray, "*batch 3 height width"],
) -> UInt8[np.ndarray, "*batch height width"]:
    """The likeliest part of each pixel, an index into PART_NAMES."""
    return parts[..., 0, :, :] & LABEL


def mirrored(
    parts: UInt8[np.ndarray, "*batch 3 height width"],
) -> UInt8[np.ndarray, "*batch 3 height width"]:
    """The map of the mirrored person: pixels from right to left, left parts become right ones."""
    return exchanged(parts[..., ::-1], PART_NAMES)


def exchanged(
    parts: UInt8[np.ndarray, "*batch 3 height width"], names: tuple[str, ...]
) -> UInt8[np.ndarray, "*batch 3 height width"]:
    """The map with left and right exchanged among the parts of those names."""
    other = [
        PART_MIRROR[i] if name in names else i  # both sides are named
        for i, name in enumerate(PART_NAMES)
    ]
    first, second = np.moveaxis(np.array(other, np.uint8)[_labels(parts)], -3, 0)
    told = parts.copy()
    told[..., 0, :, :] = first | second << SHIFT
    return told


def _labels(
    parts: UInt8[np.ndarray, "*batch 3 height width"],
) -> UInt8[np.ndarray, "*batch 2 height width"]:
    """The two likeliest parts of each pixel."""
    labels = parts[..., :1, :, :]
    return np.concatenate((labels & LABEL, labels >> SHIFT), axis=-3)
