"""Curves of an armature's bones: read as samples at whole frames, written as keys."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import bpy
import numpy as np

from .. import action, quaternions
from ..retarget import sampling
from . import bezier
from .bezier import Spline

_ROTATIONS = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}
_FREE, _ALIGNED = 0, 3  # handle types and interpolation, which foreach_set takes as numbers
_BEZIER = 2
_STILL = 1e-6  # a property that varies by less gets one key
_DENSE = 0.9  # share of the frames that have keys in a curve that was not edited for few keys
_ROUNDING = 1e-3  # frames
_PLACES = ("handle_left", "co", "handle_right")
_FLOATS = ("back", "amplitude", "period")
_NUMBERS = ("interpolation", "easing", "type", "handle_left_type", "handle_right_type", *_FLOATS)


@dataclass(frozen=True, eq=False)
class Track:
    """An animated property of a bone, sampled."""

    bone: str
    prop: str  # location, scale or the rotation of the bone's mode
    path: str  # of the F-curves
    curves: Mapping[int, bpy.types.FCurve]  # by component
    samples: np.ndarray  # (frames, components): one without a curve has its present value
    key_frames: np.ndarray  # (keys,): indices of frames with a key, as far as they are whole
    corners: np.ndarray  # (corners,): those with handles that are free of each other

    @property
    def is_dense(self) -> bool:
        """Whether about every frame has a key, as in motion that was captured."""
        span = self.key_frames[-1] - self.key_frames[0] + 1 if len(self.key_frames) else 0
        return len(self.key_frames) >= max(_DENSE * span, 4)

    @property
    def first(self) -> int:
        """Index of the first key's frame."""
        return int(self.key_frames[0]) if len(self.key_frames) else 0

    @property
    def last(self) -> int:
        """Index of the last key's frame."""
        return int(self.key_frames[-1]) if len(self.key_frames) else 0


def read(
    armature: bpy.types.Object, frames: np.ndarray, bones: Iterable[str] | None = None
) -> list[Track]:
    """Return the properties of bones that F-curves move and whose keys can be replaced.

    Left out are muted and locked curves, curves with modifiers, curves that do not interpolate
    (all keys are constant), rotations of another mode and whatever is no transform.

    Args:
        armature: with an action.
        frames: whole frames of the scene, one apart, (frames,).
        bones: names of the bones; None: all.
    """
    wanted = None if bones is None else set(bones)
    grouped: dict[tuple[str, str], dict[int, bpy.types.FCurve]] = {}
    for curve in action.channels_of(armature.animation_data).fcurves:
        place = _place(armature, curve.data_path)
        if place and (wanted is None or place[0] in wanted) and len(curve.keyframe_points):
            grouped.setdefault(place, {})[curve.array_index] = curve
    return [
        _track(armature, bone, prop, curves, frames)
        for (bone, prop), curves in grouped.items()
        if all(map(_is_editable, curves.values()))
    ]


def read_fixed(
    armature: bpy.types.Object, frames: np.ndarray, tracks: Iterable[Track]
) -> list[Track]:
    """Return the properties that F-curves move and that are not among some tracks.

    Their keys cannot be replaced, or shall not be.
    """
    taken = {(track.bone, track.prop) for track in tracks}
    grouped: dict[tuple[str, str], dict[int, bpy.types.FCurve]] = {}
    for curve in action.channels_of(armature.animation_data).fcurves:
        place = _place(armature, curve.data_path)
        if place and place not in taken and not curve.mute:
            grouped.setdefault(place, {})[curve.array_index] = curve
    return [
        _track(armature, bone, prop, curves, frames) for (bone, prop), curves in grouped.items()
    ]


class Keys(NamedTuple):
    """All that the keys of a curve are."""

    numbers: Mapping[str, np.ndarray]  # by the names of attributes
    points: np.ndarray  # (keys, 3, 2): left handle, key, right handle


def snapshot(track: Track) -> dict[int, Keys]:
    """Return the keys of a track's curves, by component."""
    return {component: read_keys(curve) for component, curve in track.curves.items()}


def restore(track: Track, state: Mapping[int, Keys]) -> None:
    """Give the curves of a track the keys of a snapshot again."""
    for component, curve in track.curves.items():
        write_keys(curve, state[component])


def read_keys(curve: bpy.types.FCurve) -> Keys:
    """Return the keys of a curve."""
    points = curve.keyframe_points
    numbers = {}
    for name in _NUMBERS:
        kind = np.float32 if name in _FLOATS else np.int32
        numbers[name] = np.empty(len(points), kind)
        points.foreach_get(name, numbers[name])
    places = np.empty((3, len(points), 2), np.float32)
    for place, name in zip(places, _PLACES, strict=True):
        flat = np.empty(2 * len(points), np.float32)
        points.foreach_get(name, flat)
        place[:] = flat.reshape(-1, 2)
    return Keys(numbers, places.swapaxes(0, 1))


def write_keys(curve: bpy.types.FCurve, keys: Keys) -> None:
    """Replace the keys of a curve."""
    points = curve.keyframe_points
    points.clear()
    points.add(len(keys.points))
    for name, place in zip(_PLACES, keys.points.swapaxes(0, 1), strict=True):
        _set(points, name, place)
    for name, values in keys.numbers.items():
        points.foreach_set(name, values)
    curve.update()


def rotations(bone: bpy.types.PoseBone, prop: str, samples: np.ndarray) -> np.ndarray:
    """Return the rotations of a bone for samples of its rotation, (frames, 3, 3)."""
    columns = {(prop, index): column for index, column in enumerate(samples.T)}
    own = sampling.own_transforms(bone, columns, len(samples))[:, :3, :3]
    return own / np.linalg.norm(own, axis=1, keepdims=True)


def rotation_property(bone: bpy.types.PoseBone) -> str:
    """Return the property that rotates a bone."""
    return _ROTATIONS.get(bone.rotation_mode, "rotation_euler")


def without_keys(armature: bpy.types.Object, bone: str, prop: str, like: Track) -> Track:
    """Return the track of a property without curves, with keys in the frames of another track."""
    present = _present(armature.pose.bones[bone], prop)
    path = f'pose.bones["{bpy.utils.escape_identifier(bone)}"].{prop}'
    samples = np.tile(present, (len(like.samples), 1))
    return Track(bone, prop, path, {}, samples, like.key_frames, like.corners)


def normalized(track: Track, samples: np.ndarray) -> np.ndarray:
    """Return samples of which quaternions have the length one."""
    if track.prop != "rotation_quaternion" or len(track.curves) < samples.shape[1]:
        return samples
    norms = np.linalg.norm(samples, axis=-1, keepdims=True)
    return np.where(norms > 0, samples / np.where(norms > 0, norms, 1), [1.0, 0, 0, 0])


def bones_with_keys(armature: bpy.types.Object) -> set[str]:
    """Return the bones that F-curves move, with curves that cannot be replaced."""
    curves = action.channels_of(armature.animation_data).fcurves
    return {place[0] for curve in curves if (place := _place(armature, curve.data_path))}


def write_spline(track: Track, spline: Spline, first: float, corners: np.ndarray) -> None:
    """Replace a track's keys.

    Args:
        track: whose curves get the keys.
        spline: the keys; their indices count from the first frame.
        first: the first frame, in the scene.
        corners: (keys,): whether the handles of a key are free of each other.
    """
    if np.ptp(spline.values, axis=0).max() < _STILL and _is_flat(spline):
        spline = Spline(*(part[:1] for part in spline))
        corners = corners[:1]
    left, right = bezier.handles(spline)
    frames = first + spline.keys
    kinds = np.where(corners, _FREE, _ALIGNED).astype(np.int32)
    for component, curve in track.curves.items():
        points = curve.keyframe_points
        points.clear()
        points.add(len(frames))
        keys = np.column_stack((frames, spline.values[:, component]))
        _set(points, "co", keys)
        for side, handles in (("left", left), ("right", right)):
            _set(points, f"handle_{side}", handles[:, component] + [first, 0])
            points.foreach_set(f"handle_{side}_type", kinds)
        points.foreach_set("interpolation", np.full(len(frames), _BEZIER, np.int32))
        curve.update()


def write_samples(
    armature: bpy.types.Object, track: Track, frames: np.ndarray, samples: np.ndarray
) -> None:
    """Replace a track's keys by others that stand as its own do.

    A track with a key on every frame gets one on every frame, one with few keys gets Béziers
    between the same frames, fitted to the samples. Components that have no curve and move now get
    one.

    Args:
        armature: with the action.
        track: as read.
        frames: of the scene, (frames,).
        samples: new ones, (frames, components).
    """
    moved = np.abs(samples - samples[0]).max(0) > _STILL
    moved |= np.abs(samples[0] - _present(armature.pose.bones[track.bone], track.prop)) > _STILL
    curves = dict(track.curves)
    channels = action.channels_of(armature.animation_data)
    for component in np.flatnonzero(moved).tolist():
        if component not in curves:
            curves[component] = channels.fcurves.new(track.path, index=component)
            group = channels.groups.get(track.bone) or channels.groups.new(track.bone)
            curves[component].group = group
    if track.is_dense:
        for component, curve in curves.items():
            action.set_keys(
                curve,
                np.column_stack((frames, samples[:, component])).astype(np.float32).ravel(),
                np.full(len(frames), action.LINEAR, np.int32),
            )
        return
    keys = np.union1d(track.key_frames, [track.first, track.last]).astype(int)
    keys = keys[(keys >= 0) & (keys < len(frames))]
    corners = np.isin(keys, track.corners)
    spline = bezier.fit(samples, keys, corners, ~corners)
    track = replace(track, curves=curves)
    write_spline(track, spline, float(frames[0]), corners)


def _place(armature: bpy.types.Object, path: str) -> tuple[str, str] | None:
    """Return bone and property that a data path names, if it moves a bone of the armature."""
    if not path.startswith('pose.bones["'):
        return None
    quoted, _, prop = path.removeprefix('pose.bones["').rpartition('"].')
    name = bpy.utils.unescape_identifier(quoted)
    bone = armature.pose.bones.get(name)
    if bone is None:
        return None
    return (name, prop) if prop in {"location", "scale", rotation_property(bone)} else None


def _is_editable(curve: bpy.types.FCurve) -> bool:
    if curve.mute or curve.lock or len(curve.modifiers):
        return False
    kinds = np.empty(len(curve.keyframe_points), np.int32)
    curve.keyframe_points.foreach_get("interpolation", kinds)
    return len(kinds) == 1 or not (kinds == action.CONSTANT).all()


def _track(
    armature: bpy.types.Object,
    bone: str,
    prop: str,
    curves: dict[int, bpy.types.FCurve],
    frames: np.ndarray,
) -> Track:
    present = _present(armature.pose.bones[bone], prop)
    samples = np.tile(present, (len(frames), 1))
    key_frames: set[int] = set()
    corners: set[int] = set()
    for component, curve in curves.items():
        samples[:, component] = [curve.evaluate(frame) for frame in frames.tolist()]
        points = np.empty(2 * len(curve.keyframe_points), np.float32)
        curve.keyframe_points.foreach_get("co", points)
        key_frames |= _whole(points[::2] - frames[0], curve.extrapolation, len(frames))
        corners |= _corners(curve, frames[0])
    samples = _continuous(prop, samples, is_complete=len(curves) == samples.shape[1])
    path = next(iter(curves.values())).data_path
    places = (np.array(sorted(found), int) for found in (key_frames, corners))
    return Track(bone, prop, path, curves, samples, *places)


def _corners(curve: bpy.types.FCurve, first: float) -> set[int]:
    """Return the frames, counted from the first, of Béziers' keys with free handles."""
    keys = read_keys(curve)
    is_free = keys.numbers["handle_left_type"] == _FREE
    is_free &= keys.numbers["interpolation"] == _BEZIER
    return set(np.rint(keys.points[is_free, 1, 0] - first).astype(int).tolist())


def _whole(places: np.ndarray, extrapolation: str, count: int) -> set[int]:
    """Return the whole frames of keys; the ends are rounded outwards."""
    ends = [np.floor(places.min() + _ROUNDING), np.ceil(places.max() - _ROUNDING)]
    if extrapolation == "LINEAR":
        ends = [0, count - 1]
    whole = np.rint(places)
    inside = whole[np.abs(places - whole) < _ROUNDING]
    return {int(place) for place in (*ends, *inside) if 0 <= place < count}


def _continuous(prop: str, samples: np.ndarray, *, is_complete: bool) -> np.ndarray:
    """Choose among equal rotations those whose curves are continuous."""
    if prop == "rotation_euler":
        return np.unwrap(samples, axis=0)
    if prop == "rotation_quaternion" and is_complete:
        sign = -1 if samples[0, 0] < 0 else 1  # as the first key has it
        return sign * quaternions.make_continuous(samples)
    if prop == "rotation_axis_angle" and is_complete:
        dots = (samples[1:, 1:] * samples[:-1, 1:]).sum(-1)
        signs = np.cumprod(np.concatenate(([1.0], np.where(dots < 0, -1, 1))))[:, None]
        samples = samples * signs
        samples[:, 0] = np.unwrap(samples[:, 0])
    return samples


def _present(bone: bpy.types.PoseBone, prop: str) -> np.ndarray:
    return np.array(getattr(bone, prop), np.float64)


def _is_flat(spline: Spline) -> bool:
    slopes = max(np.abs(spline.slopes_in).max(), np.abs(spline.slopes_out).max())
    return slopes < _STILL


def _set(points: bpy.types.FCurveKeyframePoints, name: str, values: np.ndarray) -> None:
    points.foreach_set(name, np.ascontiguousarray(values, np.float32).ravel())
