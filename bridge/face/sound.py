"""Sound: the clip's own, as a strip in the scene's sequencer, in step with the motion."""

import logging
from pathlib import Path

import bpy

from ...hund_backend.errors import BadInputError
from ...hund_backend.reconstruction import Reconstruction
from ...hund_backend.sources import IMAGE_SUFFIXES, source_files
from ..timeline import Timing

CLIP = "hund_clip"  # custom property of a strip: the clip whose sound it is

log = logging.getLogger(__name__)


def attach(
    scene: bpy.types.Scene,
    clip: Path,
    clip_id: str,
    reconstruction: Reconstruction,
    timing: Timing,
) -> "bpy.types.Strip | None":  # the type has another name before Blender 4.4
    """Lay a clip's sound under its motion; an earlier strip of the same clip is replaced.

    Sound plays at its own speed in a scene of any rate, as the motion does: the strip begins where
    the motion begins, at the same moment of the clip.

    Args:
        scene: gets the strip; its rate is the timing's.
        clip: a movie; pictures have no sound.
        clip_id: identifies the clip in the file.
        reconstruction: made of the clip.
        timing: of the reconstruction in the scene.

    Returns:
        The strip; None for a clip without sound.
    """
    detach(scene, clip_id)
    try:
        file = source_files(clip)[0]
        if file.suffix.lower() in IMAGE_SUFFIXES or not _has_sound(file):
            return None
        begin = timing.start - float(reconstruction.times[0]) * timing.fps
        strips = _strips(scene.sequence_editor_create())
        strip = strips.new_sound(
            name=f"{clip.stem} Sound",
            filepath=str(file.resolve()),
            channel=_free_channel(strips),
            frame_start=round(begin),
        )
    except (BadInputError, RuntimeError) as error:  # as of a Blender that was built without sound
        log.warning("The sound is left out: %s", error)
        return None
    start, left, right = _places(strip)
    setattr(strip, start, begin)
    setattr(strip, left, timing.start)
    setattr(strip, right, min(getattr(strip, right), timing.end + 1))
    strip[CLIP] = clip_id
    return strip


def detach(scene: bpy.types.Scene, clip_id: str) -> None:
    """Remove the strips of a clip's sound."""
    editor = scene.sequence_editor
    strips = _strips(editor) if editor else ()
    for strip in [strip for strip in strips if strip.get(CLIP) == clip_id]:
        strips.remove(strip)


def _has_sound(file: Path) -> bool:
    """Return whether a file has sound."""
    sound = bpy.data.sounds.load(str(file.resolve()), check_existing=True)
    is_silent = sound.channels == "INVALID"
    if not sound.users:
        bpy.data.sounds.remove(sound)
    return not is_silent


def _places(strip: "bpy.types.Strip") -> tuple[str, str, str]:
    """Return the names of where the content, and what is shown of it, begins and where it ends."""
    if hasattr(strip, "content_start"):  # Blender 5.2 renamed them
        return "content_start", "left_handle", "right_handle"
    return "frame_start", "frame_final_start", "frame_final_end"


def _strips(editor: bpy.types.SequenceEditor) -> bpy.types.bpy_prop_collection:
    """Return the strips: Blender 4.4 renamed them."""
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def _free_channel(strips: bpy.types.bpy_prop_collection) -> int:
    """Return the lowest channel above all strips."""
    return max((strip.channel for strip in strips), default=0) + 1
