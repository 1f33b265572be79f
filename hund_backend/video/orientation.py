"""Orientation: how a stored picture has to be turned and mirrored to be upright, as in EXIF."""

import numpy as np
from jaxtyping import UInt8

from .frame import UPRIGHT

# By the first two columns of a display matrix, which maps stored pixels to upright ones.
_OF_MATRIX = {
    (1, 0, 0, 1): UPRIGHT,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}


def orientation_of_matrix(matrix: bytes | None) -> int:
    """Return the EXIF orientation of a display matrix; slanted ones are taken for upright.

    Args:
        matrix: nine 32-bit numbers, row by row, as in MP4 files.
    """
    if matrix is None or len(matrix) < 36:
        return UPRIGHT
    numbers = np.frombuffer(matrix, np.int32, 9)[[0, 1, 3, 4]].astype(np.int64)
    largest = max(abs(numbers).max(), 1)
    return _OF_MATRIX.get(tuple(np.rint(numbers / largest).astype(int).tolist()), UPRIGHT)


def turn_upright(
    image: UInt8[np.ndarray, "rows columns 3"], orientation: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Return a stored picture upright.

    Args:
        image: as stored.
        orientation: EXIF's, 1 to 8.
    """
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)
