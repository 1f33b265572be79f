"""Foot lock: feet that touch the floor stay where they were before the motion was changed."""

from collections.abc import Sequence

import bpy
import numpy as np

from .. import quaternions
from ..retarget import sampling, two_bone_ik
from ..retarget import skeleton as skeletons
from ..retarget.easing import smoothstep
from ..retarget.mapping import RigMapping
from ..retarget.rotations import orthonormal, shortest_arc
from . import filters
from .bone_curves import Track
from .feet_contacts import Foot
from .posing import Poser

_REACH = 0.999  # of a leg's length that it is bent to
_EASE = 0.2  # seconds in which a foot comes to its place and leaves it
_LEG = ("thigh", "shin", "foot")


def lock(
    armature: bpy.types.Object,
    mapping: RigMapping,
    feet: Sequence[Foot],
    tracks: Sequence[Track],
    samples: list[np.ndarray],
    others: Sequence[Track],
    fps: float,
) -> tuple[Foot, ...]:
    """Change the legs' samples so that feet in contact stay; return the feet that cannot.

    Controls of inverse kinematics keep their own samples in contact. On plain skeletons legs are
    solved by two-bone inverse kinematics.

    Args:
        armature: whose motion is changed.
        mapping: of its bones.
        feet: with their contacts.
        tracks: as they were.
        samples: the new ones of each track; those of the legs are changed.
        others: tracks that were not changed.
        fps: frames per second.
    """
    left = []
    _stay_in_reach(armature, mapping, feet, tracks, samples, others, fps)
    for foot in feet:
        weights = _weights(foot, len(samples[0]), fps)
        chain = mapping.ik.get(f"foot.{foot.side}")
        ends = {chain.end, chain.toe} - {""} if chain else set()
        if any(track.bone in ends for track in tracks):
            _keep(tracks, samples, ends, weights)
        elif not _solve(armature, mapping, foot, tracks, samples, others, weights):
            left.append(foot)
    return tuple(left)


def _weights(foot: Foot, count: int, fps: float) -> np.ndarray:
    """Return 1 in contact, falling to 0 around it, (frames,)."""
    touches = np.flatnonzero(foot.in_contact(count))
    if not len(touches):
        return np.zeros(count)
    places = np.arange(count)
    after = np.clip(np.searchsorted(touches, places), 0, len(touches) - 1)
    before = np.maximum(after - 1, 0)
    distance = np.minimum(np.abs(touches[after] - places), np.abs(touches[before] - places))
    return smoothstep(1 - distance / (_EASE * fps + 1))


def _keep(
    tracks: Sequence[Track], samples: list[np.ndarray], bones: set[str], weights: np.ndarray
) -> None:
    """Blend the samples of some bones back to the tracks' own."""
    for index, track in enumerate(tracks):
        if track.bone in bones:
            samples[index] = samples[index] + weights[:, None] * (track.samples - samples[index])


def _stay_in_reach(
    armature: bpy.types.Object,
    mapping: RigMapping,
    feet: Sequence[Foot],
    tracks: Sequence[Track],
    samples: list[np.ndarray],
    others: Sequence[Track],
    fps: float,
) -> None:
    """Let the hips keep their own motion around frames in which a leg would not reach its foot."""
    hips = mapping.bones.get("hips", "")
    legs = [[mapping.bones.get(f"{name}.{foot.side}", "") for name in _LEG] for foot in feet]
    skeleton = skeletons.read(armature)
    every = [*others, *tracks]
    count = len(samples[0])
    is_far = np.zeros(count, bool)
    for foot, names in zip(feet, legs, strict=True):
        if "" in names or not sampling.is_keyed_only(armature, skeleton, names):
            continue
        before = Poser(armature, skeleton, every, [track.samples for track in every])
        after = Poser(armature, skeleton, every, [*(track.samples for track in others), *samples])
        thigh, shin, end = (before.world(name)[:, :3, 3] for name in names)
        length = np.linalg.norm(shin - thigh, axis=-1) + np.linalg.norm(end - shin, axis=-1)
        distance = np.linalg.norm(end - after.world(names[0])[:, :3, 3], axis=-1)
        is_far |= foot.in_contact(count) & (distance > _REACH * length)
    if not is_far.any():
        return
    ease = max(round(_EASE * fps), 1)
    near = np.convolve(is_far, np.ones(2 * ease + 1), "same") > 0
    weights = filters.gaussian(near[:, None].astype(float), ease / 4)[:, 0]
    weights = np.where(is_far, 1.0, np.clip(weights, 0, 1))
    _keep(tracks, samples, {hips}, weights)


def _solve(
    armature: bpy.types.Object,
    mapping: RigMapping,
    foot: Foot,
    tracks: Sequence[Track],
    samples: list[np.ndarray],
    others: Sequence[Track],
    weights: np.ndarray,
) -> bool:
    """Solve a leg for its foot; return whether that is possible."""
    names = [mapping.bones.get(f"{name}.{foot.side}", "") for name in _LEG]
    rotations = {
        track.bone: index
        for index, track in enumerate(tracks)
        if track.prop.startswith("rotation")
    }
    skeleton = skeletons.read(armature)
    if any(name not in rotations for name in names):
        return False
    if not sampling.is_keyed_only(armature, skeleton, names):
        return False
    every = [*others, *tracks]
    before = Poser(armature, skeleton, every, [track.samples for track in every])
    after = Poser(armature, skeleton, every, [*(track.samples for track in others), *samples])
    toes = {mapping.bones.get(f"{name}.{foot.side}", "") for name in ("midfoot", "toe", "toe_end")}
    _keep(tracks, samples, toes, weights)
    was, now = ([poser.world(name) for name in names] for poser in (before, after))
    start, middle, end = (matrices[:, :3, 3] for matrices in now)
    wanted = end + weights[:, None] * (was[2][:, :3, 3] - end)
    old_middle, old_start = was[1][:, :3, 3], was[0][:, :3, 3]
    fallback = old_middle - (old_start + was[2][:, :3, 3]) / 2
    pole = two_bone_ik.bend_direction(start, middle, end, fallback)
    lengths = tuple(
        float(np.linalg.norm(b - a, axis=-1).mean()) for a, b in ((start, middle), (middle, end))
    )
    knee, reached = two_bone_ik.solve(start, lengths, wanted, pole)
    rotation = [orthonormal(matrices[:, :3, :3]) for matrices in (*now, was[2])]
    turned = (
        shortest_arc(middle - start, knee - start) @ rotation[0],
        shortest_arc(end - middle, reached - knee) @ rotation[1],
        quaternions.to_matrices(
            quaternions.slerp(
                quaternions.from_matrices(rotation[2]),
                quaternions.from_matrices(rotation[3]),
                weights[:, None],
            )
        ),
    )
    is_near = weights > 0
    for name, matrices in zip(names, turned, strict=True):
        index = rotations[name]
        solved = after.rotate(tracks[index], matrices)
        samples[index] = np.where(is_near[:, None], solved, samples[index])
        after.set(tracks[index], samples[index])
    return True
