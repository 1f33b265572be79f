"""Describe a clip in one JSON line: size, rate, number of frames and a small picture of it.

The line is {"event": "clip", "width", "height", "fps", "frames", "thumbnail"}, or
{"event": "error", "message"}. `frames` is null where the file does not say; the thumbnail has
`width`, `height` and `rgb`, 8-bit rows from the top in base64.
"""

import argparse
import base64
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import ExitCode, HundError
from .output import write_event

THUMBNAIL = 192  # pixels of its longer side
FRAMES_IN = 15  # frames before the thumbnail's: the first ones are often black


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("clip", type=Path, metavar="CLIP")


def run(arguments: argparse.Namespace) -> int:
    """Print the line."""
    try:
        write_event(event="clip", **_description(arguments.clip))
    except HundError as error:
        write_event(event="error", message=str(error))
        return error.exit_code
    return ExitCode.DONE


def _description(path: Path) -> dict[str, Any]:
    import cv2

    from ..video import open_clip

    with open_clip(path) as clip:
        info = clip.info
        *_, frame = islice(clip, FRAMES_IN)
    scale = THUMBNAIL / max(info.width, info.height)
    width, height = (max(1, round(scale * side)) for side in (info.width, info.height))
    image = cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA)
    rgb = base64.b64encode(image.tobytes()).decode("ascii")
    return {
        "width": info.width,
        "height": info.height,
        "fps": info.fps,
        "frames": info.num_frames,
        "thumbnail": {"width": width, "height": height, "rgb": rgb},
    }
