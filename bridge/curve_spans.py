"""Spans of F-curves: keys in a span of frames are replaced, all others stay as they are."""

import bpy
import numpy as np

from . import action

_ROUNDING = 1e-3  # frames; keys are stored in single precision


def replace(
    channels: action.Channels, data_path: str, index: int, frames: np.ndarray, values: np.ndarray
) -> None:
    """Replace the keys of a curve from the first to the last of some frames.

    The motion before and after is kept: a curve without keys next to the span gets them there.

    Args:
        channels: of the datablock.
        data_path: of the curve, from the datablock.
        index: of the component.
        frames: of the new keys, in order, (frames,).
        values: of the new keys, (frames,).
    """
    curve = channels.fcurves.find(data_path, index=index)
    if curve is None:
        curve = channels.fcurves.new(data_path, index=index)
    points = curve.keyframe_points
    co = np.empty(2 * len(points), np.float32)
    points.foreach_get("co", co)
    table = co.reshape(-1, 2)
    first, last = frames[0] - _ROUNDING, frames[-1] + _ROUNDING
    inside = (table[:, 0] >= first) & (table[:, 0] <= last)
    if np.array_equal(table[inside, 0], frames.astype(np.float32)):
        table[inside, 1] = values
        points.foreach_set("co", table.ravel())
        curve.update()
        return
    if len(points):
        _hold_borders(curve, table, frames)
    for position in reversed(range(len(points))):
        if first <= points[position].co.x <= last:
            points.remove(points[position], fast=True)
    for frame, value in zip(frames.tolist(), values.tolist(), strict=True):
        points.insert(frame, value, options={"FAST"}).interpolation = "LINEAR"
    curve.update()


def _hold_borders(curve: bpy.types.FCurve, table: np.ndarray, frames: np.ndarray) -> None:
    """Key a curve one frame before and after a span, where it has keys further away."""
    for frame, beyond in (
        (frames[0] - 1, table[:, 0] < frames[0] - 1 - _ROUNDING),
        (frames[-1] + 1, table[:, 0] > frames[-1] + 1 + _ROUNDING),
    ):
        if beyond.any() and not np.isclose(table[:, 0], frame, atol=_ROUNDING).any():
            curve.keyframe_points.insert(frame, curve.evaluate(frame))


def continued(
    channels: action.Channels, data_path: str, prop: str, frames: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Return values with the signs and turns that rotations have in the present curves.

    A quaternion and its negative are one rotation, but between them a curve leaves it.

    Args:
        channels: of the datablock.
        data_path: of the curves, from the datablock.
        prop: name of the property; one that is no rotation is returned as it is.
        frames: of the values, (frames,).
        values: (frames, components).
    """
    curves = [channels.fcurves.find(data_path, index=i) for i in range(values.shape[1])]
    if not prop.startswith("rotation_") or None in curves:
        return values
    present = np.array([[c.evaluate(frame) for c in curves] for frame in frames.tolist()])
    if prop == "rotation_euler":
        return values + 2 * np.pi * np.round((present - values) / (2 * np.pi))
    start = 1 if prop == "rotation_axis_angle" else 0
    sign = np.where((present * values)[:, start:].sum(-1) < 0, -1.0, 1.0)
    return sign[:, None] * values
