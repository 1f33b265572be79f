"""Smooth: motion without its fast part, without lag, feet in contact held in their places."""

from dataclasses import dataclass
from typing import NamedTuple

import bpy

from ..retarget.contacts import Contacts
from ..retarget.mapping import RigMapping
from . import armatures, bone_curves, feet_contacts, filters, foot_lock
from .errors import KeysError

_DEVIATION = 0.15  # seconds, of the Gaussian at full strength
_LEAST = 4  # frames


@dataclass(frozen=True, kw_only=True)
class Options:
    """How motion is smoothed."""

    strength: float = 0.3  # 0…1
    keep_extremes: bool = True
    keep_contacts: bool = True
    bones: frozenset[str] | None = None  # None: all


class Smoothed(NamedTuple):
    """What was smoothed."""

    curves: int
    sliding: tuple[str, ...]  # sides of feet with contacts that could not be held


def smooth(
    armature: bpy.types.Object,
    options: Options,
    *,
    fps: float,
    mapping: RigMapping | None = None,
    contacts: Contacts | None = None,
) -> Smoothed:
    """Smooth the motion of an armature's bones.

    Args:
        armature: with an action.
        options: how.
        fps: frames per second.
        mapping: of its bones, for the contacts of its feet; None: there are none.
        contacts: of the motion; None: its contact curves, or found from the motion.

    Raises:
        KeysError: there is nothing to smooth.
    """
    frames = armatures.frames_of(armature, _LEAST)
    tracks = bone_curves.read(armature, frames, options.bones)
    if not tracks:
        raise KeysError(f"No curve of {armature.name} has keys that can be smoothed.")
    deviation = options.strength * _DEVIATION * fps
    samples = []
    for track in tracks:
        span = slice(track.first, track.last + 1)
        values = track.samples.copy()
        values[span] = filters.smooth(values[span], deviation, keep_extremes=options.keep_extremes)
        samples.append(bone_curves.normalized(track, values))
    sliding: tuple[feet_contacts.Foot, ...] = ()
    if options.keep_contacts and mapping:
        feet = feet_contacts.find(armature, mapping, frames, fps, contacts)
        others = bone_curves.read_fixed(armature, frames, tracks)
        sliding = foot_lock.lock(armature, mapping, feet, tracks, samples, others, fps)
    for track, values in zip(tracks, samples, strict=True):
        bone_curves.write_samples(armature, track, frames, values)
    curves = sum(len(track.curves) for track in tracks)
    return Smoothed(curves, tuple(foot.side for foot in sliding if foot.runs))
