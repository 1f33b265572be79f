"""Spans of F-curves: keys in a span of frames are replaced, all others stay as they are."""

from itertools import pairwise

import bpy
import numpy as np

from . import action

_ROUNDING = 1e-3  # frames; keys are stored in single precision
_BISECTIONS = 40


def replace(
    channels: action.Channels,
    data_path: str,
    index: int,
    frames: np.ndarray,
    values: np.ndarray,
    limits: tuple[float, float],
) -> None:
    """Replace the keys of a curve from the first to the last of some frames.

    The motion before and after is kept: a curve without keys next to the span gets them there.

    Args:
        channels: of the datablock.
        data_path: of the curve, from the datablock.
        index: of the component.
        frames: of the new keys, in order, (frames,).
        values: of the new keys, (frames,).
        limits: first and last frame of the motion, beyond which no keys are added.
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
        _hold_borders(curve, table, frames, limits)
    for position in reversed(range(len(points))):
        if first <= points[position].co.x <= last:
            points.remove(points[position], fast=True)
    for frame, value in zip(frames.tolist(), values.tolist(), strict=True):
        points.insert(frame, value, options={"FAST"}).interpolation = "LINEAR"
    curve.update()


def _hold_borders(
    curve: bpy.types.FCurve, table: np.ndarray, frames: np.ndarray, limits: tuple[float, float]
) -> None:
    """Key a curve one frame before and after a span, within the limits of the motion."""
    for frame in (frames[0] - 1, frames[-1] + 1):
        is_keyed = np.isclose(table[:, 0], frame, atol=_ROUNDING).any()
        if limits[0] - _ROUNDING <= frame <= limits[1] + _ROUNDING and not is_keyed:
            _split(curve, float(frame))


def _split(curve: bpy.types.FCurve, frame: float) -> None:
    """Add a key that leaves the motion as it is."""
    points = curve.keyframe_points
    after = next((i for i, point in enumerate(points) if point.co.x > frame), 0)
    if after == 0 or points[after - 1].interpolation != "BEZIER":
        interpolation = points[after - 1].interpolation  # the last one's beyond both ends
        points.insert(frame, curve.evaluate(frame)).interpolation = interpolation
        return
    halves = _halves(points[after - 1], points[after], frame)
    point = points.insert(frame, halves[3][1], options={"FAST"})
    point.interpolation = "BEZIER"
    before, following = points[after - 1], points[after + 1]
    for each in (before, following, point):
        each.handle_left_type = each.handle_right_type = "FREE"
    before.handle_right, point.handle_left = halves[1], halves[2]
    point.co = halves[3]
    point.handle_right, following.handle_left = halves[4], halves[5]


def _halves(first: bpy.types.Keyframe, last: bpy.types.Keyframe, frame: float) -> list[np.ndarray]:
    """Return the seven points of both halves of a Bézier segment, split at a frame."""
    start, out = np.array(first.co), np.array(first.handle_right)
    into, end = np.array(last.handle_left), np.array(last.co)
    # Blender shortens handles that are longer than the segment together.
    length = out[0] - start[0] + end[0] - into[0]
    if length > end[0] - start[0] > 0:
        share = (end[0] - start[0]) / length
        out, into = start + share * (out - start), end + share * (into - end)
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        points = _casteljau((start, out, into, end), middle)
        low, high = (middle, high) if points[3][0] < frame else (low, middle)
    return points


def _casteljau(points: tuple[np.ndarray, ...], share: float) -> list[np.ndarray]:
    """Return the points of both halves of a cubic Bézier curve, split at a parameter."""
    start, _, _, end = points
    one, two, three = (a + share * (b - a) for a, b in pairwise(points))
    four, five = one + share * (two - one), two + share * (three - two)
    return [start, one, four, four + share * (five - four), five, three, end]


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
