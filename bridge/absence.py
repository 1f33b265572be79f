"""Absence in exchange files: the frames in which keys hide a person.

Blender's exporters of FBX, GLB and USD leave out that a character is hidden. USD gets the
visibility that it has a property for; in FBX and GLB the person is scaled to nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import bpy
import numpy as np

from . import action


def hidden_frames(
    armatures: Sequence[bpy.types.Object], scene: bpy.types.Scene
) -> dict[bpy.types.Object, np.ndarray]:
    """Return whether keys hide an armature from renders in each frame of the scene, (frames,).

    Armatures that are not hidden in any frame are left out.
    """
    frames = range(scene.frame_start, scene.frame_end + 1)
    hidden = {
        armature: np.array([is_hidden(armature, frame) for frame in frames])
        for armature in armatures
    }
    return {armature: flags for armature, flags in hidden.items() if flags.any()}


def is_hidden(armature: bpy.types.Object, frame: int) -> bool:
    """Return whether keys hide an armature from renders in a frame of the scene.

    Keys count in its action or, if it has none, in the topmost of its strips that has some.
    """
    animation = armature.animation_data
    if animation is None:
        return False
    if animation.action:
        return _is_on(action.channels_of(animation), frame)
    for track in reversed(animation.nla_tracks):
        for strip in track.strips if not track.mute else ():
            channels = action.channels_of(strip)
            if channels and channels.fcurves.find("hide_render") and strip.repeat == 1:
                start, end = strip.action_frame_start, strip.action_frame_end
                inside = start + (frame - strip.frame_start) / strip.scale
                return _is_on(channels, min(max(inside, start), end))
    return False


def _is_on(channels: "action.Channels | None", frame: float) -> bool:
    curve = channels and channels.fcurves.find("hide_render")
    return bool(curve) and not curve.mute and curve.evaluate(frame) > 0.5


@contextmanager
def scaled_to_nothing(
    hidden: Mapping[bpy.types.Object, np.ndarray], scene: bpy.types.Scene
) -> Iterator[None]:
    """Key the scale of hidden people inside the block.

    It is keyed as a delta scale, which multiplies the scale: keys of the user stay. The scene goes
    to the frame before its first one, in which everybody has their size: exporters take rest poses
    from the current frame.

    Args:
        hidden: see `hidden_frames`.
        scene: contains the people.
    """
    if not hidden:
        yield
        return
    with ExitStack() as restore:
        restore.callback(scene.frame_set, scene.frame_current, subframe=scene.frame_subframe)
        for armature, is_hidden in hidden.items():
            channels = action.channels_of(armature.animation_data)
            if channels.fcurves.find("delta_scale"):
                continue  # the user's
            restore.callback(setattr, armature, "delta_scale", armature.delta_scale.copy())
            frames, scale = _changes(scene.frame_start - 1, np.concatenate(([False], is_hidden)))
            scale = np.repeat(1.0 - scale[:, None], 3, axis=1)
            constant = action.CONSTANT
            action.write_channel(channels, "delta_scale", frames, scale, interpolation=constant)
            for index in range(3):
                curve = channels.fcurves.find("delta_scale", index=index)
                restore.callback(channels.fcurves.remove, curve)
        scene.frame_set(scene.frame_start - 1)
        yield


def write_usd_visibility(
    path: Path, hidden: Mapping[bpy.types.Object, np.ndarray], scene: bpy.types.Scene
) -> None:
    """Write into a USD file in which frames people are invisible.

    It is left out where Blender comes without USD's Python modules, as `bpy` of 4.2 from PyPI.

    Args:
        path: of the file, which is changed.
        hidden: see `hidden_frames`.
        scene: contains the people.

    Raises:
        RuntimeError: the file cannot be written.
    """
    if not hidden:
        return
    if hasattr(bpy.utils, "expose_bundled_modules"):  # since Blender 4.4
        bpy.utils.expose_bundled_modules()
    try:
        from pxr import Tf, Usd, UsdGeom  # here: they take time to load
    except ImportError:
        return
    stage = Usd.Stage.Open(str(path))
    names = {Tf.MakeValidIdentifier(armature.name): armature for armature in hidden}
    for prim in stage.Traverse():
        if prim.GetTypeName() == "SkelRoot" and prim.GetName() in names:
            visibility = UsdGeom.Imageable(prim).CreateVisibilityAttr()
            frames, is_hidden = _changes(scene.frame_start, hidden[names[prim.GetName()]])
            for frame, value in zip(frames.tolist(), is_hidden.tolist(), strict=True):
                visibility.Set("invisible" if value else "inherited", frame)
    stage.GetRootLayer().Save()


def _changes(start: int, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames in which a switch changes, the first one included, and its values there."""
    indices = np.flatnonzero(np.diff(values.astype(int), prepend=-1))
    return start + indices, values[indices]
