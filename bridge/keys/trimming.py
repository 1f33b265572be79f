"""Trim: keys inside a range, with keys at its borders, and nothing changed between them."""

from collections.abc import Iterable

import bpy
import numpy as np

from .. import action
from . import armatures
from .bone_curves import Keys, read_keys, write_keys
from .errors import KeysError

_CONSTANT, _LINEAR, _BEZIER = 0, 1, 2
_FREE = 0
_STEPS = 40  # halvings of the place on a Bézier, which single precision does not exceed
_ROUNDING = 1e-4  # frames


def trim(armature: bpy.types.Object, first: float, last: float, *, start: float | None) -> int:
    """Trim the motion of an armature and what is animated with it, and return the curves trimmed.

    Meshes below the armature, with their shape keys, stay in time with it.

    Args:
        armature: with an action.
        first: frame of the scene at which the motion begins.
        last: frame at which it ends.
        start: frame to which the beginning is moved; None: it stays.

    Raises:
        KeysError: there is nothing in the range.
    """
    frames = armatures.frames_of(armature)
    if last <= first:
        raise KeysError("The range is empty: its end must come after its start.")
    if last <= frames[0] or first >= frames[-1]:
        raise KeysError(
            f"The motion of {armature.name} is outside of the range: it has the frames "
            f"{frames[0]:.0f} to {frames[-1]:.0f}."
        )
    shift = 0.0 if start is None else start - first
    curves = list(animated_with(armature))
    for curve in curves:
        trim_curve(curve, first, last, shift)
    item = armature.animation_data.action
    if item.use_frame_range:
        item.frame_start, item.frame_end = first + shift, last + shift
    return len(curves)


def animated_with(armature: bpy.types.Object) -> Iterable[bpy.types.FCurve]:
    """Yield the curves of an armature, of the objects below it and of their shape keys."""
    owners: list[bpy.types.ID] = [armature, armature.data]
    for obj in armature.children_recursive:
        owners += [obj, getattr(obj.data, "shape_keys", None) if obj.data else None]
    for owner in owners:
        animation = owner.animation_data if owner else None
        channels = action.channels_of(animation) if animation else None
        if channels and animation.action.library is None:
            yield from channels.fcurves


def trim_curve(curve: bpy.types.FCurve, first: float, last: float, shift: float) -> None:
    """Trim one curve and move it in time.

    Args:
        curve: to trim.
        first: frame at which it gets its first key.
        last: frame of its last key.
        shift: frames that it is moved by.
    """
    if not len(curve.keyframe_points):
        return
    keys = read_keys(curve)
    places = keys.points[:, 1, 0]
    if places[0] < last - _ROUNDING and places[-1] > first + _ROUNDING:
        for frame in (first, last):
            keys = _split(keys, frame)
        places = keys.points[:, 1, 0]
        inside = (places >= first - _ROUNDING) & (places <= last + _ROUNDING)
    else:  # constant inside
        value = curve.evaluate((first + last) / 2)
        inside = np.arange(len(places)) == 0
        keys.points[0] += [first, value] - keys.points[0, 1]
    numbers = {name: values[inside] for name, values in keys.numbers.items()}
    write_keys(curve, Keys(numbers, keys.points[inside] + np.float32([shift, 0])))


def _split(keys: Keys, frame: float) -> Keys:
    """Return keys with one more at a frame between two, with which the curve is the same.

    The handles of the keys around it become free: else the curve would change there.
    """
    places = keys.points[:, 1, 0]
    after = int(np.searchsorted(places, frame))
    is_key = np.abs(places - frame).min() < _ROUNDING
    for near in (after - 1, after, after + 1) if is_key else (after - 1, after):
        if 0 <= near < len(places):
            keys.numbers["handle_left_type"][near] = _FREE
            keys.numbers["handle_right_type"][near] = _FREE
    if is_key or not 0 < after < len(places):
        return keys
    points = keys.points.astype(np.float64)
    before, behind = points[after - 1], points[after]
    kind = keys.numbers["interpolation"][after - 1]
    if kind == _BEZIER:
        curve = _corrected(before[1], before[2], behind[0], behind[1])
        left, middle, right = _halves(curve, _place(curve[:, 0], frame))
        points[after - 1, 2], points[after, 0] = left, right
    else:
        share = (frame - before[1, 0]) / (behind[1, 0] - before[1, 0])
        share = 0.0 if kind == _CONSTANT else share
        value = before[1, 1] + share * (behind[1, 1] - before[1, 1])
        middle = np.array([[frame - 1, value], [frame, value], [frame + 1, value]])
    points = np.insert(points, after, middle, axis=0).astype(np.float32)
    numbers = {
        name: np.insert(values, after, values[after - 1]) for name, values in keys.numbers.items()
    }
    return Keys(numbers, points)


def _corrected(*points: np.ndarray) -> np.ndarray:
    """Return a Bézier's points, (4, 2), with too long handles shortened as Blender does."""
    start, out, into, end = (np.array(point) for point in points)
    width = end[0] - start[0]
    for key, handle in ((start, out), (end, into)):
        reach = abs(handle[0] - key[0])
        if reach > width:
            handle[:] = key + (handle - key) * width / reach
    return np.array([start, out, into, end])


def _place(columns: np.ndarray, frame: float) -> float:
    """Return the parameter at which a Bézier that goes forward in time is at a frame."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        t = (low + high) / 2
        rest = 1 - t
        weights = np.array([rest**3, 3 * rest**2 * t, 3 * rest * t**2, t**3])
        if weights @ columns < frame:
            low = t
        else:
            high = t
    return (low + high) / 2


def _halves(curve: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divide a Bézier (4, 2) at a parameter.

    Returns:
        The first key's right handle, the new key with its handles (3, 2), the last key's left one.
    """
    first = curve[:-1] + t * np.diff(curve, axis=0)
    second = first[:-1] + t * np.diff(first, axis=0)
    middle = second[0] + t * (second[1] - second[0])
    return first[0], np.array([second[0], middle, second[1]]), first[2]
