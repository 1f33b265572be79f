"""Mirror: left and right of a motion exchanged, with its path, across the body's facing plane.

A bone does what its counterpart did, reflected by the symmetry of the rest pose, in its own axes;
so constraints and controls of a rig do not matter. The bones that carry all others are then moved
so that the plane is that of the body in the first frame: it starts where it started, and faces
where it faced. Mirrored twice, a motion is what it was.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import bpy
import numpy as np

from .. import action, contact_curves
from ..retarget import roles
from ..retarget import skeleton as skeletons
from ..retarget.mapping import RigMapping
from ..retarget.rotations import unit
from ..retarget.skeleton import Skeleton
from . import armatures, bone_curves, whole_body
from .bone_curves import Track
from .errors import KeysError
from .posing import rotation_samples

_LEVEL = 1e-3  # horizontal length of the direction to the left, below which it gives no plane


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a motion is mirrored."""

    bones: frozenset[str] | None = None  # that get the mirrored motion; None: all, with the path


class Mirrored(NamedTuple):
    """What was mirrored."""

    bones: int
    pairs: int  # of them with a counterpart


def mirror(
    armature: bpy.types.Object, options: Options, *, mapping: RigMapping | None = None
) -> Mirrored:
    """Mirror the motion of an armature's bones.

    Args:
        armature: with an action.
        options: how.
        mapping: of its bones: counterparts whose names do not tell them, and the facing plane.

    Raises:
        KeysError: there is nothing to mirror.
    """
    frames = armatures.frames_of(armature)
    skeleton = skeletons.read(armature)
    tracks = {(track.bone, track.prop): track for track in bone_curves.read(armature, frames)}
    if not tracks:
        raise KeysError(f"No curve of {armature.name} has keys that can be mirrored.")
    other = counterparts(skeleton, mapping)
    keyed = {bone for bone, _ in tracks}
    every = sorted(keyed | {other[bone] for bone in keyed})
    chosen = every
    if options.bones is not None:
        chosen = [bone for bone in chosen if bone in options.bones]
    if not chosen:
        raise KeysError("The selected bones have no keys: select others.")
    found = whole_body.carriers(armature, skeleton, every, frames)
    where = whole_body.facing(skeleton, mapping, found)
    rest = whole_body.reflection(where.side, where.middle)
    changed: dict[str, dict[str, tuple[Track, np.ndarray]]] = {}
    for bone in chosen:
        changed[bone] = _mirrored(armature, skeleton, tracks, bone, other[bone], rest)
    if options.bones is None:
        plane = _plane(armature, skeleton, where, frames)
        inside = np.linalg.inv(skeleton.world)
        motion = (inside @ plane @ skeleton.world @ rest)[None]
        for carrier in found:
            _carry(armature, carrier, changed[carrier.bone], motion)
        _exchange_contacts(armature)
    for items in changed.values():
        for track, samples in items.values():
            bone_curves.write_samples(armature, track, frames, samples)
    pairs = sum(other[bone] != bone for bone in chosen)
    return Mirrored(len(chosen), pairs)


def counterparts(skeleton: Skeleton, mapping: RigMapping | None) -> dict[str, str]:
    """Return the bone on the other side of each bone; one in the middle is its own.

    Names tell it (.L and .R, left and right); where they do not, the roles of the mapping do, and
    then names with Left and Right or other signs of a side in their middle.
    """
    found = {}
    for name in skeleton.names:
        flipped = bpy.utils.flip_name(name)
        found[name] = flipped if flipped in skeleton.index else name
    by_role: dict[str, str] = {}
    for table in (mapping.bones, mapping.controls) if mapping else ():
        for role, bone in table.items():
            partner = table.get(roles.mirrored(role))
            if partner and partner != bone:
                by_role[bone] = partner
    for name in skeleton.names:
        if found[name] != name:
            continue
        spelled = _exchanged(name)
        found[name] = by_role.get(name, spelled if spelled in skeleton.index else name)
    return {name: other if found[other] == name else name for name, other in found.items()}


def _exchanged(name: str) -> str:
    """Return a name with Left for Right and the other way round."""
    for left, right in (
        ("Left", "Right"),
        ("left", "right"),
        ("LEFT", "RIGHT"),
        ("_L_", "_R_"),
        (" L ", " R "),
    ):
        if left in name:
            return name.replace(left, right, 1)
        if right in name:
            return name.replace(right, left, 1)
    return name


def _mirrored(
    armature: bpy.types.Object,
    skeleton: Skeleton,
    tracks: dict[tuple[str, str], Track],
    bone: str,
    other: str,
    rest: np.ndarray,
) -> dict[str, tuple[Track, np.ndarray]]:
    """Return the tracks of a bone, by property, with the samples that its counterpart gives."""
    pose = armature.pose.bones
    here, there = (skeleton.rest[skeleton.index[name]] for name in (bone, other))
    full = np.linalg.inv(here) @ rest @ there  # from the counterpart's axes to the bone's
    across, offset = full[:3, :3], full[:3, 3]
    result: dict[str, tuple[Track, np.ndarray]] = {}
    rotation = bone_curves.rotation_property(pose[bone])
    for prop in (rotation, "scale", "location"):
        is_rotation = prop.startswith("rotation")
        source_prop = bone_curves.rotation_property(pose[other]) if is_rotation else prop
        own, source = tracks.get((bone, prop)), tracks.get((other, source_prop))
        like = source or own
        if like is None:
            continue
        source = source or bone_curves.without_keys(armature, other, source_prop, like)
        own = own or bone_curves.without_keys(armature, bone, prop, like)
        values = source.samples
        if prop == "location":
            axes = _location_axes(skeleton, bone)
            mirrored = axes.T @ rest[:3, :3] @ _location_axes(skeleton, other)
            # What a turn moves a head by that is not opposite to its counterpart's.
            turned = _turned(pose[bone], rotation, result, len(values))
            beside = (offset - turned @ offset) @ here[:3, :3].T @ axes
            values = values @ mirrored.T + beside
        elif prop == "scale":
            values = values @ np.abs(across).round().T
        elif prop == source_prop == "rotation_quaternion":
            values = np.concatenate((values[:, :1], -values[:, 1:] @ across.T), axis=1)
        else:
            turned = across @ bone_curves.rotations(pose[other], source_prop, values) @ across.T
            values = rotation_samples(pose[bone], turned, own.samples[0])
        track = replace(own, key_frames=source.key_frames, corners=source.corners)
        result[prop] = (track, values)
    return result


def _turned(
    bone: bpy.types.PoseBone,
    prop: str,
    result: dict[str, tuple[Track, np.ndarray]],
    count: int,
) -> np.ndarray:
    """Return the new rotations of a bone, (frames, 3, 3); without keys the present one."""
    if prop in result:
        return bone_curves.rotations(bone, prop, result[prop][1])
    present = np.tile(np.array(getattr(bone, prop), np.float64), (count, 1))
    return bone_curves.rotations(bone, prop, present)


def _location_axes(skeleton: Skeleton, name: str) -> np.ndarray:
    """Return the axes of a bone's location at rest, in armature space."""
    index = skeleton.index[name]
    if skeleton.bones[index].use_local_location:
        return skeleton.rest[index][:3, :3]
    parent = int(skeleton.parents[index])
    return skeleton.rest[parent][:3, :3] if parent >= 0 else np.eye(3)


def _exchange_contacts(armature: bpy.types.Object) -> None:
    """Exchange the contact curves of the left and the right foot."""
    curves = action.channels_of(armature.animation_data).fcurves
    for left, right in (("heel_L", "heel_R"), ("toe_L", "toe_R")):
        pair = [curves.find(contact_curves.data_path(part)) for part in (left, right)]
        if all(pair):
            keys = [bone_curves.read_keys(curve) for curve in pair]
            for curve, other in zip(pair, reversed(keys), strict=True):
                bone_curves.write_keys(curve, other)


def _plane(
    armature: bpy.types.Object,
    skeleton: Skeleton,
    where: whole_body.Facing,
    frames: np.ndarray,
) -> np.ndarray:
    """Return the reflection across the body's upright plane in the first frame, in the world."""
    side, middle = whole_body.hips_in_world(armature, skeleton, where, frames[:1])
    level = side[0] * [1, 1, 0]
    if np.linalg.norm(level) < _LEVEL:
        level = skeleton.world_rotation @ where.side
    return whole_body.reflection(unit(level), middle[0])


def _carry(
    armature: bpy.types.Object,
    carrier: whole_body.Carrier,
    items: dict[str, tuple[Track, np.ndarray]],
    motion: np.ndarray,
) -> None:
    """Move a carrier's new samples by a rigid motion, in place; give it the tracks this needs."""
    bone = armature.pose.bones[carrier.bone]
    like = next(iter(items.values()))[0]
    for prop in ("location", bone_curves.rotation_property(bone)):
        if prop not in items:
            track = bone_curves.without_keys(armature, carrier.bone, prop, like)
            items[prop] = (track, track.samples)
    samples = {prop: values for prop, (_, values) in items.items()}
    tracks = {prop: track for prop, (track, _) in items.items()}
    for prop, values in whole_body.moved(armature, carrier, tracks, samples, motion).items():
        items[prop] = (tracks[prop], values)
