"""Matching: sets a scene's rate, range and picture size to a clip's."""

from typing import NamedTuple

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..hund_backend.reconstruction import Reconstruction
from . import camera, ownership, timeline

_RATE_TOLERANCE = 1e-4  # frames per second: a scene stores single precision


class ClipFormat(NamedTuple):
    """Rate, length and picture size of a clip."""

    fps: float
    frames: int  # from the first to the last one, gaps included
    width: int  # pixels
    height: int
    pixel_aspect: tuple[float, float] = (1.0, 1.0)  # width and height of a pixel


def clip_format(reconstruction: Reconstruction) -> ClipFormat:
    """Return the format of the clip that a reconstruction was made from."""
    width, height = reconstruction.image_size
    timing = timeline.timing_of(reconstruction, reconstruction.fps, 1)
    aspect = camera.pixel_aspect(reconstruction)
    return ClipFormat(reconstruction.fps, timing.end, width, height, aspect)


def match(scene: bpy.types.Scene, clip: ClipFormat, start: int) -> None:
    """Set a scene's frame rate, range, current frame, resolution and pixel aspect to a clip's.

    The preview range is switched off: playback and renders would use it instead of the range.

    Args:
        scene: is changed.
        clip: its format.
        start: frame of the scene that shows the clip's first frame. A scene's range cannot start
            before frame 0.
    """
    render = scene.render
    render.fps = max(1, round(clip.fps))  # 29.97 is 30 / 1.001
    render.fps_base = render.fps / clip.fps
    scene.frame_start, scene.frame_end = _frame_range(scene, clip, start)
    scene.use_preview_range = False
    render.resolution_x, render.resolution_y = clip.width, clip.height
    render.resolution_percentage = 100
    render.pixel_aspect_x, render.pixel_aspect_y = clip.pixel_aspect
    scene.frame_set(scene.frame_start)


def changes(scene: bpy.types.Scene, clip: ClipFormat, start: int) -> str:
    """Return what `match` and the clip's camera would change in a scene, for the panel.

    Example: "Frame rate 24 → 29.97, frames 1–250 → 1–230, size 1920 × 1080 → 1280 × 720". Empty
    if nothing would change.
    """
    render = scene.render
    found: list[str] = []

    def add(label: str, before: str, after: str) -> None:
        if before != after:
            found.append(f"{iface_(label)} {before} → {after}")

    fps = timeline.fps_of(scene)
    if abs(fps - clip.fps) > _RATE_TOLERANCE:
        add("frame rate", _rate(fps), _rate(clip.fps))
    first, last = _frame_range(scene, clip, start)
    add("frames", f"{scene.frame_start}–{scene.frame_end}", f"{first}–{last}")
    if scene.use_preview_range:
        found.append(iface_("preview range off"))
    percentage = render.resolution_percentage / 100
    size = [round(side * percentage) for side in (render.resolution_x, render.resolution_y)]
    add("size", f"{size[0]} × {size[1]}", f"{clip.width} × {clip.height}")
    aspects = (render.pixel_aspect_x, render.pixel_aspect_y), clip.pixel_aspect
    add("pixel aspect", *(f"{width / height:.3g}" for width, height in aspects))
    if scene.camera and not ownership.is_owned(scene.camera):
        add("camera", scene.camera.name, iface_("the clip's"))
    text = ", ".join(found)
    return text[:1].upper() + text[1:]


def _frame_range(scene: bpy.types.Scene, clip: ClipFormat, start: int) -> tuple[int, int]:
    lowest = scene.bl_rna.properties["frame_start"].hard_min
    return max(start, lowest), max(start + clip.frames - 1, lowest)


def _rate(fps: float) -> str:
    return f"{fps:.3f}".rstrip("0").rstrip(".")
