"""Apply: a face's motion on any mesh that has shape keys with ARKit's names."""

from typing import NamedTuple

import bpy
import numpy as np

from .. import action
from . import arkit_keys, motion
from .errors import FaceError


class AppliedFace(NamedTuple):
    """What a mesh got."""

    keys: int  # ARKit keys that move shape keys of the mesh
    missing: tuple[str, ...]  # ARKit keys that move in the motion and the mesh lacks


def apply(
    source: bpy.types.Object,
    target: bpy.types.Object,
    *,
    strength: float = 1.0,
    neutral_frame: float | None = None,
) -> AppliedFace:
    """Key the face's motion on a mesh; other shape keys and their curves stay.

    Args:
        source: mesh with ARKit keys that move.
        target: mesh with shape keys of these names, in any spelling.
        strength: factor of all values.
        neutral_frame: frame of the scene in which the source's face is at rest: its values are
            taken off all others. None: the values are taken as they are.

    Raises:
        FaceError: the target has no such shape keys, or the source does not move.
    """
    if target == source:
        raise FaceError("The mesh is the one that the face comes from: select another mesh.")
    shape_keys = target.data.shape_keys
    found = arkit_keys.matches(shape_keys.key_blocks.keys()) if shape_keys else {}
    if not found:
        raise FaceError(
            f"{target.name} has no shape keys with ARKit's names, such as jawOpen or "
            "eyeBlinkLeft: rename its shape keys, or add some."
        )
    moved = motion.read(source)
    values = moved.values
    if neutral_frame is not None:
        values = {
            key: (column - np.interp(neutral_frame, moved.frames, column)).clip(0)
            for key, column in values.items()
        }
    animation = shape_keys.animation_data
    channels = action.channels_in(animation) if animation else None
    if channels is None:
        channels = action.Motion(f"{target.name} Face").channels(shape_keys)
    for key, names in found.items():
        if key not in values:
            continue
        column = (strength * values[key]).clip(0, 1)
        for name in names:
            _write(shape_keys, channels, name, moved, column)
    lacking = tuple(k for k, column in values.items() if k not in found and column.max() > 0)
    return AppliedFace(len(found.keys() & values.keys()), lacking)


def _write(
    shape_keys: bpy.types.Key,
    channels: action.Channels,
    name: str,
    moved: motion.FaceMotion,
    column: np.ndarray,
) -> None:
    """Key one shape key; its range is made wide enough."""
    block = shape_keys.key_blocks[name]
    block.slider_min = min(block.slider_min, float(column.min()))
    block.slider_max = max(block.slider_max, float(column.max()))
    block.value = float(column[0])
    action.write_channel(
        channels,
        f'key_blocks["{bpy.utils.escape_identifier(name)}"].value',
        moved.frames,
        column[:, None],
        group="Face",
        interpolation=moved.interpolations,
    )
