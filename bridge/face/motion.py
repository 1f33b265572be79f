"""Face motion: the values of a character's ARKit keys over time."""

from typing import NamedTuple

import bpy
import numpy as np

from .. import action
from . import arkit_keys
from .errors import FaceError


class FaceMotion(NamedTuple):
    """Values of ARKit keys in the scene's time."""

    frames: np.ndarray  # (frames,), where any of the curves has a key
    values: dict[str, np.ndarray]  # of each key that the face has, (frames,)
    interpolations: np.ndarray  # (frames,): CONSTANT where a shot ends, else LINEAR


def face_mesh(obj: bpy.types.Object | None) -> bpy.types.Object | None:
    """Return the mesh with ARKit keys that an object is or, for an armature, carries."""
    if obj is None:
        return None
    candidates = [obj] if obj.type == "MESH" else obj.children if obj.type == "ARMATURE" else []
    for mesh in candidates:
        keys = mesh.data.shape_keys if mesh.type == "MESH" else None
        if keys and arkit_keys.matches(keys.key_blocks.keys()):
            return mesh
    return None


def has_motion(mesh: bpy.types.Object) -> bool:
    """Return whether a face's keys are animated."""
    animation = mesh.data.shape_keys.animation_data
    return bool(animation and animation.action)


def read(mesh: bpy.types.Object) -> FaceMotion:
    """Read the motion of a mesh's ARKit keys.

    Raises:
        FaceError: the face does not move.
    """
    shape_keys = mesh.data.shape_keys
    channels = action.channels_in(shape_keys.animation_data) if has_motion(mesh) else None
    found = arkit_keys.matches(shape_keys.key_blocks.keys())
    paths = {key: f'key_blocks["{names[0]}"].value' for key, names in found.items()}
    curves = {} if channels is None else {k: channels.fcurves.find(p) for k, p in paths.items()}
    curves = {key: curve for key, curve in curves.items() if curve}
    if not curves:
        raise FaceError(
            f"The face of {mesh.name} does not move: reconstruct a clip with Face switched on."
        )
    times = [_column(curve, "co")[0::2] for curve in curves.values()]
    held = [_column(curve, "interpolation") for curve in curves.values()]
    frames, first = np.unique(np.concatenate(times), return_index=True)
    values = {
        key: np.array([curves[key].evaluate(frame) for frame in frames])
        if key in curves
        else np.full(len(frames), shape_keys.key_blocks[names[0]].value)
        for key, names in found.items()
    }
    return FaceMotion(frames, values, np.concatenate(held)[first])


def _column(curve: bpy.types.FCurve, name: str) -> np.ndarray:
    points = curve.keyframe_points
    if name == "co":
        column = np.empty(2 * len(points), np.float32)
    else:
        column = np.empty(len(points), np.int32)
    points.foreach_get(name, column)
    return column
