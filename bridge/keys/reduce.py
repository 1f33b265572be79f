"""Reduce Keys: Béziers with few keys in place of a key on every frame.

No joint is off by more than a tolerance at any whole frame, and feet in contact by less. The poses
at keys are the motion's own. What the curves give is checked on the evaluated rig.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import bpy
import numpy as np

from ..retarget import sampling, steps
from ..retarget import skeleton as skeletons
from ..retarget.contacts import Contacts
from ..retarget.mapping import RigMapping
from ..retarget.steps import Pace
from . import armatures, bodies, bone_curves, feet_contacts, reduction, turning_points
from .bodies import Body, LinearBody, PlainBody
from .bone_curves import Track
from .errors import KeysError
from .feet_contacts import Foot
from .reduction import Reduction

_EXTREME = 4.0  # tolerances by which a joint turns back at an extreme that gets a key
_MARGIN = 0.98  # of the tolerance, for the rounding of keys to single precision
_CHECKS = 6  # evaluations, after which frames that are off get a key on all curves
_NEAR = 2  # frames around one that is off whose tolerance is reduced, too
_SHORTER = 0.8  # of the tolerance that would have been right


@dataclass(frozen=True, kw_only=True)
class Options:
    """How far joints may be off."""

    tolerance: float = 0.005  # world units
    contact_tolerance: float = 0.002  # of feet in contact, world units
    bones: frozenset[str] | None = None  # whose keys are reduced; None: all


class Reduced(NamedTuple):
    """What a reduction did."""

    before: int  # keys of the bones
    after: int
    error: float  # the largest distance of a joint from its place before, world units
    contact_error: float  # that of a foot in contact


def reduce_keys(
    armature: bpy.types.Object,
    options: Options,
    *,
    fps: float,
    mapping: RigMapping | None = None,
    contacts: Contacts | None = None,
    report: Callable[[float], None] = lambda share: None,
) -> Reduced:
    """Replace the keys of an armature's bones by fewer.

    If it fails or is cancelled, the keys are as before.

    Args:
        armature: with an action.
        options: how far joints may be off.
        fps: frames per second.
        mapping: of its bones, for the contacts of its feet; None: there are none.
        contacts: of the motion; None: its contact curves, or found from the motion.
        report: called with the progress; raises to cancel.

    Raises:
        KeysError: its keys cannot be reduced.
    """
    frames = armatures.frames_of(armature)
    tracks = [
        replace(track, samples=bone_curves.normalized(track, track.samples))
        for track in bone_curves.read(armature, frames, options.bones)
    ]
    if not tracks:
        raise KeysError(f"No curve of {armature.name} has keys that can be reduced.")
    feet = feet_contacts.find(armature, mapping, frames, fps, contacts)
    body, is_plain = _body(armature, tracks, feet, frames)
    tolerance = _tolerance(body, feet, options)
    before = sum(len(curve.keyframe_points) for track in tracks for curve in track.curves.values())
    kept = [bone_curves.snapshot(track) for track in tracks]
    try:
        reduced = _first_keys(body, tracks, feet, options)
        distance = _refine(armature, reduced, body, tolerance, frames, is_plain, report)
    except BaseException:
        for track, state in zip(tracks, kept, strict=True):
            bone_curves.restore(track, state)
        raise
    after = sum(len(curve.keyframe_points) for track in tracks for curve in track.curves.values())
    in_contact = tolerance < options.tolerance * _MARGIN * 0.999
    contact_error = float(distance[in_contact].max(initial=0))
    return Reduced(before, after, float(distance.max()), contact_error)


def _body(
    armature: bpy.types.Object, tracks: list[Track], feet: tuple[Foot, ...], frames: np.ndarray
) -> tuple[Body, bool]:
    """Return the joints of an armature, and whether they are exact."""
    soles = {bone for foot in feet for bone in foot.bones}
    skeleton = skeletons.read(armature)
    moved = sorted({track.bone for track in tracks})
    if sampling.is_keyed_only(armature, skeleton, moved):
        names = [
            bone for bone in skeleton.names if sampling.is_keyed_only(armature, skeleton, [bone])
        ]
        others = bone_curves.read_fixed(armature, frames, tracks)
        return PlainBody(armature, tracks, _sample(armature, names, frames), soles, others), True
    names = sorted(
        {bone.name for bone in armature.data.bones if bone.use_deform} | {*moved, *soles}
    )
    return LinearBody(armature, tracks, _sample(armature, names, frames), soles), False


def _sample(
    armature: bpy.types.Object, names: list[str], frames: np.ndarray
) -> dict[str, np.ndarray]:
    sampled = sampling.world_transforms(armature, names, frames, Pace(np.inf))
    transforms = steps.finish(sampled, lambda share: None)
    return {name: transforms[:, index] for index, name in enumerate(names)}


def _tolerance(body: Body, feet: tuple[Foot, ...], options: Options) -> np.ndarray:
    """Return the tolerance of each joint, (frames, joints)."""
    tolerance = np.full(body.reference.shape[:2], options.tolerance)
    for foot in feet:
        joints = np.isin(body.bones, foot.bones)
        rows = foot.in_contact(len(tolerance))
        tolerance[np.ix_(rows, np.tile(joints, 2))] = options.contact_tolerance
    return _MARGIN * tolerance


def _first_keys(
    body: Body, tracks: list[Track], feet: tuple[Foot, ...], options: Options
) -> Reduction:
    """Return tracks with keys at their ends, at extremes and where contacts begin and end."""
    keys, corners = [], []
    for index, track in enumerate(tracks):
        span = track.samples[track.first : track.last + 1]
        borders = sorted(
            {
                frame
                for foot in feet
                if track.bone in foot.movers
                for run in foot.runs
                for frame in run
                if track.first <= frame <= track.last
            }
        )
        size = max(body.reach(index), 1e-9)
        if track.prop in {"rotation_quaternion", "rotation_axis_angle"}:
            size *= 2  # a component changes by half of the angle
        extremes = track.first + turning_points.of_components(
            span, _EXTREME * options.tolerance / size
        )
        is_apart = ~np.isin(extremes, [border + step for border in borders for step in (-1, 0, 1)])
        chosen = {track.first, track.last, *borders, *extremes[is_apart].tolist()}
        keys.append(np.array(sorted(chosen), int))
        corners.append(np.array(borders, int))
    return Reduction(tracks, keys, corners, [frames.copy() for frames in keys])


def _refine(
    armature: bpy.types.Object,
    reduced: Reduction,
    body: Body,
    tolerance: np.ndarray,
    frames: np.ndarray,
    is_plain: bool,
    report: Callable[[float], None],
) -> np.ndarray:
    """Add keys and write them until the evaluated joints are within the tolerance.

    Returns:
        Distances of the evaluated joints, (frames, joints).
    """
    narrowed = tolerance.copy()
    check = 0
    while True:
        expected = reduction.refine(reduced, body, narrowed)
        if not check:
            expected = reduction.thin(reduced, body, narrowed, expected)
        for index, track in enumerate(reduced.tracks):
            bone_curves.write_spline(
                track, reduced.splines[index], float(frames[0]), reduced.is_corner(index)
            )
        check += 1
        report(1 - 0.5**check)
        joints = bodies.joints_of(
            skeletons.read(armature), _sample(armature, list(body.bones), frames), body.bones
        )
        distance = np.linalg.norm(joints - body.reference, axis=-1)
        is_off = distance > tolerance / (_MARGIN if is_plain else 1)
        if not is_off.any():
            return distance
        if check >= _CHECKS:
            if check > 2 * _CHECKS:
                raise KeysError(
                    f"The joints of {armature.name} cannot be kept within the tolerance: choose "
                    "a larger one."
                )
            body.compensates = False
            off = np.flatnonzero(is_off.any(1))
            for index, track in enumerate(reduced.tracks):
                reduced.set_target(index, track.samples)
                within = off[(off >= track.first) & (off <= track.last)]
                reduced.add(index, within)  # twice: keys with the motion's own values
                reduced.add(index, within)
            continue
        share = np.where(is_off, _SHORTER * expected / np.maximum(distance, 1e-12), 1.0)
        for _ in range(_NEAR):
            padded = np.pad(share, ((1, 1), (0, 0)), constant_values=1.0)
            share = np.minimum(np.minimum(padded[:-2], padded[2:]), share)
        narrowed = np.minimum(narrowed, np.maximum(share * tolerance, 1e-9))
