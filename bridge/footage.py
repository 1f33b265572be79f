"""Footage: the clip as the camera's background, synchronous with the motion."""

import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path

import bpy
import numpy as np

from ..hund_backend.errors import BadInputError
from ..hund_backend.reconstruction import Reconstruction
from ..hund_backend.sources import IMAGE_SUFFIXES, source_files
from .action import CONSTANT, Motion, write_channel
from .timeline import Timing

_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")  # Blender, too, uses the last digits of a name
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
        image = bpy.data.images.load(str(files[0].resolve()))
    except (BadInputError, RuntimeError) as error:
        log.warning("The footage is not shown: %s", error)
        return
    image.name = f"{next(iter(cameras)).name} Footage"
    pictures = None  # numbers by Blender's count; None: a single picture
    indices = _picture_indices(reconstruction, timing)
    if len(files) > 1:
        image.source = "SEQUENCE"
        numbers = _picture_numbers(files)
        pictures = numbers[indices.clip(0, len(numbers) - 1)]
    elif files[0].suffix.lower() not in IMAGE_SUFFIXES:
        image.source = "MOVIE"
        pictures = indices + 1  # Blender counts from 1
    for camera, motion in cameras.items():
        background = camera.data.background_images.new()
        background.image = image
        background.alpha = 1.0
        camera.data.show_background_images = True
        if pictures is not None:
            _set_pictures(camera, pictures, timing, motion)


def fit(camera: bpy.types.Object, scene: bpy.types.Scene, reconstruction: Reconstruction) -> None:
    """Align the footage with the people for any aspect ratio of the scene's pictures.

    The camera's lens is fitted to the width, so the footage has to be as wide as the picture.
    """
    render, (width, height) = scene.render, reconstruction.image_size
    aspect = render.resolution_y * render.pixel_aspect_y
    aspect /= render.resolution_x * render.pixel_aspect_x
    for background in camera.data.background_images:
        if width != height and tuple(background.image.size) == (height, width):
            _rotate_upright(background, aspect, height / width)
        elif (render.resolution_x, render.resolution_y) != (width, height):
            background.frame_method = "CROP" if aspect < height / width else "FIT"


def _rotate_upright(
    background: bpy.types.CameraBackgroundImage, aspect: float, clip_aspect: float
) -> None:
    """Rotate footage upright: Blender before 4.4 ignores the rotation flag of a phone's video.

    Args:
        background: of the camera.
        aspect: height by width of the scene's pictures.
        clip_aspect: height by width of the upright clip.
    """
    log.warning(
        "The footage is rotated by 90°. If that is wrong, change the rotation in the camera's "
        "background images."
    )
    background.frame_method = "FIT"  # before the rotation: as high as the picture, or as wide
    background.rotation = math.pi / 2
    background.scale = 1 / min(aspect, 1 / clip_aspect)


def _picture_indices(reconstruction: Reconstruction, timing: Timing) -> np.ndarray:
    """Return the index of the clip's picture, from 0, nearest to each frame of the scene.

    The people are posed for the frame's exact time, so the nearest picture fits them best.
    """
    times = reconstruction.times[0] + np.arange(timing.end - timing.start + 1) / timing.fps
    indices = np.floor(times * reconstruction.fps + 0.5 + _TIME_TOLERANCE).astype(int)
    return np.minimum(indices, max(reconstruction.frame_numbers[-1], indices[0]))


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
