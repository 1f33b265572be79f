"""Footage: the clip as the camera's background, synchronous with the motion.

The backend reads a clip by its time stamps, upright and with square pixels. Blender counts the
pictures of a movie by the rate in its header, ignores pixel aspect ratios and the orientation of
pictures, and, before 4.4, that of movies. The Reconstruction's provenance says what they are.
"""

import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..hund_backend.errors import BadInputError
from ..hund_backend.reconstruction import Reconstruction
from ..hund_backend.sources import IMAGE_SUFFIXES, picture_numbers, source_files
from .action import CONSTANT, Motion, write_channel
from .timeline import Timing

_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")  # Blender, too, uses the last digits of a name
_ROTATES_MOVIES = bpy.app.version >= (4, 4, 0)
# Upright from stored, by the EXIF orientation; x right, y down.
_UPRIGHT_FROM_STORED = {
    1: ((1, 0), (0, 1)),
    2: ((-1, 0), (0, 1)),
    3: ((-1, 0), (0, -1)),
    4: ((1, 0), (0, -1)),
    5: ((0, 1), (1, 0)),
    6: ((0, -1), (1, 0)),
    7: ((0, -1), (-1, 0)),
    8: ((0, 1), (-1, 0)),
}
_FIRST_SIDEWAYS = 5
_TIME_TOLERANCE = 1e-6  # pictures; halfway between two, rounding must not decide

log = logging.getLogger(__name__)


def attach(
    cameras: Mapping[bpy.types.Object, Motion],
    clip: Path,
    reconstruction: Reconstruction,
    timing: Timing,
) -> None:
    """Show a clip behind its cameras; if it cannot be shown, log a warning and leave it out.

    Args:
        cameras: made by `camera.create`, one for each shot. Their motions get the keys of the
            footage, if it needs any.
        clip: a movie, a picture, a folder of pictures or a pattern.
        reconstruction: made of the clip.
        timing: of the reconstruction in the scene.
    """
    try:
        files = source_files(clip)
        image = _load(files[0])
    except (BadInputError, RuntimeError) as error:
        log.warning("The footage is not shown: %s", error)
        return
    # Of the animations among pictures, Blender shows only the first frame.
    is_frozen = len(files) == 1 and image.source == "FILE" and len(reconstruction.times) > 1
    if not image.size[0] or is_frozen:
        log.warning("The footage is not shown: Blender cannot play %s.", files[0].name)
        bpy.data.images.remove(image)
        return
    image.name = f"{next(iter(cameras)).name} Footage"
    pictures = None  # numbers by Blender's count; None: a single picture
    if len(files) > 1:
        image.source = "SEQUENCE"
        positions = np.searchsorted(
            picture_numbers(files), _picture_indices(reconstruction, timing), side="right"
        )
        pictures = _picture_numbers(files)[(positions - 1).clip(0)]
    elif image.source == "MOVIE":
        pictures = _picture_indices(reconstruction, timing) + 1  # Blender counts from 1
    for camera, motion in cameras.items():
        background = camera.data.background_images.new()
        background.image = image
        background.alpha = 1.0
        camera.data.show_background_images = True
        if pictures is not None:
            _set_pictures(camera, pictures, timing, motion)


def _load(file: Path) -> bpy.types.Image:
    """Load a picture or a movie, whatever its suffix says; without pixels if Blender cannot."""
    image = bpy.data.images.load(str(file.resolve()))
    is_picture = file.suffix.lower() in IMAGE_SUFFIXES
    for source in ("FILE", "MOVIE") if is_picture else ("MOVIE", "FILE"):
        image.source = source
        if image.size[0]:
            break
    return image


def fit(camera: bpy.types.Object, scene: bpy.types.Scene, reconstruction: Reconstruction) -> None:
    """Align the footage with the people for any aspect ratio of the scene's pictures.

    The camera's lens is fitted to the width, so the footage has to be as wide as the picture.
    """
    render, (width, height) = scene.render, reconstruction.image_size
    aspect = render.resolution_y * render.pixel_aspect_y
    aspect /= render.resolution_x * render.pixel_aspect_x
    stored = _stored(reconstruction)
    for background in camera.data.background_images:
        stretch = stored.get("pixel_aspect", 1.0)
        is_turned = background.image.source == "MOVIE" and _ROTATES_MOVIES
        if is_turned and stored.get("orientation", 1) >= _FIRST_SIDEWAYS:
            stretch = 1 / stretch  # of the axes that Blender shows
        background.image.display_aspect = (max(stretch, 1.0), max(1 / stretch, 1.0))
        is_sideways = _turn_upright(background, stored, (width, height))
        if is_sideways:
            background.frame_method = "FIT"  # before the rotation: as high as the picture, or wide
            background.scale = 1 / min(aspect, width / height)
        elif (render.resolution_x, render.resolution_y) != (width, height):
            background.frame_method = "CROP" if aspect < height / width else "FIT"


def _stored(reconstruction: Reconstruction) -> Mapping[str, Any]:
    """Return what `hund_backend.video.Footage` documents; files written before it have nothing."""
    return reconstruction.provenance.get("footage") or {}


def _turn_upright(
    background: bpy.types.CameraBackgroundImage,
    stored: Mapping[str, Any],
    upright_size: tuple[int, int],
) -> bool:
    """Turn and mirror footage as far as Blender does not; return whether by a quarter turn.

    Args:
        background: of the camera.
        stored: how the file stores its pictures.
        upright_size: width and height of the upright clip, pixels.
    """
    orientation = stored.get("orientation")
    if orientation is None:
        width, height = upright_size
        is_sideways = width != height and tuple(background.image.size) == (height, width)
        if is_sideways:
            log.warning(
                "The footage is rotated by 90°. If that is wrong, change the rotation in the "
                "camera's background images."
            )
            background.rotation = math.pi / 2
        return is_sideways
    left = np.array(_UPRIGHT_FROM_STORED[orientation])
    if background.image.source == "MOVIE" and _ROTATES_MOVIES:
        cosine, sine = left[:, 0]  # Blender rotates by the x axis, and does not mirror
        left = left @ np.array(((cosine, sine), (-sine, cosine)))
    background.use_flip_x = bool(np.linalg.det(left) < 0)  # before the rotation
    if background.use_flip_x:
        left = left @ np.diag((-1, 1))
    background.rotation = math.atan2(left[1, 0], left[0, 0])  # clockwise
    return bool(left[0, 0] == 0)


def _picture_indices(reconstruction: Reconstruction, timing: Timing) -> np.ndarray:
    """Return the index of the clip's picture, from 0, nearest to each frame of the scene.

    The people are posed for the frame's exact time, so the nearest picture fits them best.
    """
    fps = _stored(reconstruction).get("fps", reconstruction.fps)
    times = reconstruction.times[0] + np.arange(timing.end - timing.start + 1) / timing.fps
    indices, last = (
        np.floor(each * fps + 0.5 + _TIME_TOLERANCE).astype(int)
        for each in (times, reconstruction.times[-1])
    )
    return np.minimum(indices, max(last, indices[0]))


def _picture_numbers(files: list[Path]) -> np.ndarray:
    """Return the numbers in the names of a sequence's pictures, by which Blender finds them."""
    parts = [_NUMBERED.fullmatch(file.stem) for file in files]
    if None in parts or len({(part[1], part[3]) for part in parts}) > 1:
        log.warning(
            "The footage may not play: number the pictures of a sequence, and change nothing else "
            "in their names."
        )
        return np.arange(1, len(files) + 1)
    return np.array([int(part[2]) for part in parts])


def _set_pictures(
    camera: bpy.types.Object, pictures: np.ndarray, timing: Timing, motion: Motion
) -> None:
    """Set the picture, by Blender's number, of each frame of the scene.

    Blender shows picture `frame − frame_start + 1 + frame_offset` regardless of the clip's rate,
    so the offset is keyed if the scene's rate differs or a sequence has gaps.
    """
    user = camera.data.background_images[0].image_user
    offsets = pictures - np.arange(1, len(pictures) + 1)
    user.frame_start, user.frame_duration = timing.start, len(pictures)
    user.frame_offset = int(offsets[0])
    user.use_auto_refresh = True
    if np.ptp(offsets):
        changes = np.flatnonzero(np.diff(offsets, prepend=offsets[0] - 1))
        write_channel(
            motion.channels(camera.data, "Lens"),
            "background_images[0].image_user.frame_offset",
            timing.start + changes,
            offsets[changes, None],
            interpolation=CONSTANT,
        )
