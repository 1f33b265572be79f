"""Live Link Face: a face's motion as a .csv file in the columns of that app.

Its head and eye rotations are left at zero: they are in the motion of the bones and in the keys of
looking aside.
"""

import csv
import io
from pathlib import Path

import numpy as np

from ...hund_backend.atomic_write import write_file
from ...hund_backend.errors import BadInputError
from . import arkit_keys, motion
from .errors import FaceError

_ROTATIONS = tuple(
    f"{part}{angle}"
    for part in ("Head", "LeftEye", "RightEye")
    for angle in ("Yaw", "Pitch", "Roll")
)
COLUMNS = (
    "Timecode",
    "BlendShapeCount",
    *(key[0].upper() + key[1:] for key in arkit_keys.KEYS),
    *_ROTATIONS,
)


def write(path: Path, moved: motion.FaceMotion, fps: float) -> int:
    """Write a file with one row for each whole frame, and return the number of rows.

    Args:
        path: of the file.
        moved: motion of a face.
        fps: of the scene.

    Raises:
        FaceError: the folder cannot be written to, or the disk is full.
    """
    frames = np.arange(np.floor(moved.frames[0]), np.ceil(moved.frames[-1]) + 1)
    zeros = np.zeros(len(frames))
    columns = [
        np.interp(frames, moved.frames, moved.values[key]) if key in moved.values else zeros
        for key in arkit_keys.KEYS
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = len(COLUMNS) - 2
    for row, values in enumerate(zip(*columns, strict=True)):
        numbers = [f"{value:.6f}" for value in values]
        turned = ["0.000000"] * len(_ROTATIONS)
        writer.writerow([timecode(row, fps), count, *numbers, *turned])
    try:
        write_file(path, text.getvalue().encode())
    except BadInputError as error:
        raise FaceError(str(error)) from error
    return len(frames)


def timecode(frame: int, fps: float) -> str:
    """Return hours, minutes, seconds, frames and thousandths of a frame.

    Example:
        >>> timecode(61, 30.0)
        '00:00:02:01.000'
    """
    rate = max(1, round(fps))
    seconds, left = divmod(frame, rate)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02d}:{minute:02d}:{second:02d}:{left:02d}.000"
