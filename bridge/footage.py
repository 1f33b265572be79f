"""Footage: the clip behind its camera, in step with the motion."""

import logging
import math
import re
from pathlib import Path

import bpy
import numpy as np

from ..hund_backend.errors import BadInputError
from ..hund_backend.reconstruction import Reconstruction
from ..hund_backend.sources import PICTURE_SUFFIXES, source_files
from .action import CONSTANT, Motion, write_channel
from .timeline import Timing

_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")  # Blender, too, counts by the last digits of a name
_NEAR_PICTURE = 0.1  # pictures by which a time stamp may come early

log = logging.getLogger(__name__)


def attach(
    camera: bpy.types.Object,
    clip: Path,
    reconstruction: Reconstruction,
    timing: Timing,
    motion: Motion,
) -> None:
    """Show a clip behind its camera; one that cannot be shown is left out, with a warning.

    Args:
        camera: made by `camera.create`.
        clip: a movie, a picture, a folder of pictures or a pattern.
        reconstruction: made of the clip.
        timing: of the reconstruction in the scene.
        motion: gets the keys of the footage, if it needs any.
    """
    try:
        files = source_files(clip)
        image = bpy.data.images.load(str(files[0].resolve()))
    except (BadInputError, RuntimeError) as error:
        log.warning("The footage is not shown: %s", error)
        return
    image.name = f"{camera.name} Footage"
    background = camera.data.background_images.new()
    background.image = image
    background.alpha = 1.0
    camera.data.show_background_images = True
    pictures = _pictures(reconstruction, timing)
    if len(files) > 1:
        image.source = "SEQUENCE"
        numbers = _numbers(files)
        _play(camera, numbers[pictures.clip(0, len(numbers) - 1)], timing, motion)
    elif files[0].suffix.lower() not in PICTURE_SUFFIXES:
        image.source = "MOVIE"
        _play(camera, pictures + 1, timing, motion)  # Blender counts from 1


def fit(camera: bpy.types.Object, scene: bpy.types.Scene, reconstruction: Reconstruction) -> None:
    """Lay the footage under the people, whatever the shape of the scene's pictures is.

    The camera's lens is fitted to the width, so the footage has to be as wide as the picture.
    """
    render, (width, height) = scene.render, reconstruction.image_size
    shape = render.resolution_y * render.pixel_aspect_y
    shape /= render.resolution_x * render.pixel_aspect_x
    for background in camera.data.background_images:
        if width != height and tuple(background.image.size) == (height, width):
            _turn(background, shape, height / width)
        elif (render.resolution_x, render.resolution_y) != (width, height):
            background.frame_method = "CROP" if shape < height / width else "FIT"


def _turn(background: bpy.types.CameraBackgroundImage, shape: float, clip_shape: float) -> None:
    """Turn footage upright: Blender before 4.4 shows an upright phone's as the sensor saw it.

    Args:
        background: of the camera.
        shape: height by width of the scene's pictures.
        clip_shape: height by width of the clip when it stands upright.
    """
    log.warning("The footage is turned by 90°: if wrongly, change it in the camera's backgrounds.")
    background.frame_method = "FIT"  # lying: as high as the picture, or as wide
    background.rotation = math.pi / 2
    background.scale = 1 / min(shape, 1 / clip_shape)


def _pictures(reconstruction: Reconstruction, timing: Timing) -> np.ndarray:
    """Which of the clip's pictures, from 0, is on screen at each frame of the scene."""
    times = reconstruction.times[0] + np.arange(timing.end - timing.start + 1) / timing.fps
    latest = np.floor(times * reconstruction.fps + _NEAR_PICTURE).astype(int)
    return np.minimum(latest, max(reconstruction.frame_numbers[-1], latest[0]))


def _numbers(files: list[Path]) -> np.ndarray:
    """Numbers in the names of a sequence's pictures, by which Blender finds them."""
    parts = [_NUMBERED.fullmatch(file.stem) for file in files]
    if None in parts or len({(part[1], part[3]) for part in parts}) > 1:
        log.warning("The footage may stand still: its pictures are not numbered alike.")
        return np.arange(1, len(files) + 1)
    return np.array([int(part[2]) for part in parts])


def _play(camera: bpy.types.Object, pictures: np.ndarray, timing: Timing, motion: Motion) -> None:
    """Show these pictures, by Blender's numbers, one a frame of the scene.

    Blender shows picture `frame − frame_start + 1 + frame_offset` whatever the clip's rate is, so
    the offset is keyed where the scene's rate is another or a sequence has gaps.
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
