"""Lock Feet: an action's feet stay in place in their contacts, whatever was edited before.

Only hips and legs get new keys, and only in frames in which they move.
"""

import dataclasses
from collections.abc import Generator
from typing import NamedTuple

import bpy
import numpy as np

from .. import action, contact_curves, curve_spans, ownership, timeline
from . import contacts as foot_contacts
from . import control_rig, feet, keys, local_pose, sampling, source_motion, steps
from . import skeleton as skeletons
from .contacts import Contacts
from .easing import smoothstep
from .errors import RetargetError
from .local_pose import BoneKeys, Wish
from .mapping import RigMapping
from .steps import Pace, Progress
from .transfer import RoleMotion

_ROUNDING = 1e-5  # of keys
EASE = 0.2  # seconds before and after a range in which the change comes and goes
_ROLES = ("thigh", "shin", "foot")


class Locked(NamedTuple):
    """What was changed."""

    frames: int  # with new keys
    runs: int  # of contact
    lowered: float  # the most that hips were lowered for a foot, world units


def lock_feet(
    armature: bpy.types.Object,
    mapping: RigMapping,
    limits: tuple[int, int] | None = None,
    report: Progress = lambda share: None,
) -> Locked:
    """Solve the legs of an armature again so that its feet keep their contacts.

    Contacts are those of its own curves, else those of the armature that its motion was made from,
    else they are found from the motion.

    Args:
        armature: with an action.
        mapping: of its bones.
        limits: first and last frame of the scene; None: the whole action.
        report: called with the progress; raises to cancel.

    Raises:
        RetargetError: one sentence, what is wrong.
    """
    return steps.finish(stepwise(armature, mapping, limits, Pace(np.inf)), report)


def stepwise(
    armature: bpy.types.Object,
    mapping: RigMapping,
    limits: tuple[int, int] | None,
    pace: Pace,
) -> Generator[float, None, Locked]:
    """Lock feet with pauses (see `lock_feet`); nothing is changed before the last step.

    Args:
        armature: with an action.
        mapping: of its bones.
        limits: first and last frame of the scene; None: the whole action.
        pace: of the pauses.

    Yields:
        Progress, 0…1.
    """
    check(armature, mapping)
    fps = timeline.fps_of(bpy.context.scene)
    frames, inside = _frames_of(armature, limits, fps)
    sampled = yield from steps.scaled(
        source_motion.sample(armature, mapping, frames, pace), 0.0, 0.4
    )
    motion = _on_floor(armature, sampled.motion)
    contacts = contacts_of(armature, motion, frames, fps)
    solved = feet.locked(motion, contacts, fps, inside)
    runs = sum(len(foot_contacts.runs(each.max(-1), fps)) for each in contacts.values())
    if not solved.changed.any():
        return Locked(0, runs, 0.0)
    bone_keys = yield from steps.scaled(
        _keys(armature, mapping, solved.motion, frames, pace), 0.4, 1.0
    )
    _write(armature, frames, solved.changed, bone_keys)
    return Locked(int(solved.changed.sum()), runs, float(solved.lowered.max()))


def check(armature: bpy.types.Object | None, mapping: RigMapping) -> None:
    """Check that an armature's feet can be locked.

    Raises:
        RetargetError: they cannot.
    """
    name = armature.name if armature else "Nothing"
    if armature is None or armature.type != "ARMATURE":
        raise RetargetError(f"{name} is not an armature: select the armature with the motion.")
    animation = armature.animation_data
    if animation and animation.use_tweak_mode:
        raise RetargetError(f"{name} is in the NLA's tweak mode: leave it first.")
    if animation is None or animation.action is None or not sampling.frame_range(armature):
        raise RetargetError(f"{name} has no motion: choose an action with keys of its bones.")
    if armature.library is not None or animation.action.library is not None:
        raise RetargetError(f"The motion of {name} is linked from another file: make it local.")
    if armature.mode == "EDIT":
        raise RetargetError(f"{name} is in Edit Mode: leave it first.")
    if not any(all(f"{role}.{side}" in mapping.bones for role in _ROLES) for side in ("L", "R")):
        raise RetargetError(
            f"No leg of {name} is known as a whole: choose a preset for its bones."
        )


def contacts_of(
    armature: bpy.types.Object, motion: RoleMotion, frames: np.ndarray, fps: float
) -> Contacts:
    """Return the contacts of an armature's feet at frames of the scene.

    Args:
        armature: with contact curves, or made from one that has them.
        motion: of it, from which they are found otherwise.
        frames: (frames,).
        fps: frames per second.
    """
    return (
        contact_curves.read(armature, frames)
        or _contacts_of_source(armature, frames)
        or found_in(motion, fps)
    )


def found_in(motion: RoleMotion, fps: float) -> Contacts:
    """Return the contacts by the height and the speed of a motion's feet."""
    leg = motion.rest.leg_length()
    return {
        side: foot_contacts.from_motion(
            feet.sole_points(motion, side)[:, [0, 2]], motion.floor, leg, fps
        )
        for side in feet.legs_of(motion)
    }


def _contacts_of_source(armature: bpy.types.Object, frames: np.ndarray) -> Contacts | None:
    source = source_of(armature)
    return contact_curves.read(source, frames) if source else None


def source_of(armature: bpy.types.Object) -> bpy.types.Object | None:
    """Return the armature that an armature's action was made from, if it is there."""
    animation = armature.animation_data
    name = animation.action.get(keys.RETARGETED) if animation and animation.action else None
    source = bpy.data.objects.get(name) if isinstance(name, str) else None
    return source if source and source.type == "ARMATURE" and source != armature else None


def _on_floor(armature: bpy.types.Object, motion: RoleMotion) -> RoleMotion:
    """Return the motion with the floor at z = 0 if it was made from one that stands there."""
    source = source_of(armature)
    if source is not None and ownership.PERSON in source:
        return dataclasses.replace(motion, floor=0.0)
    return motion


def _frames_of(
    armature: bpy.types.Object, limits: tuple[int, int] | None, fps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames to read, and how much of the change is taken at each, 0…1."""
    first, last = sampling.frame_range(armature)
    frames = sampling.whole_frames((first, last))
    if limits is None:
        return frames, np.ones(len(frames))
    if limits[1] < max(limits[0], first) or limits[0] > last:
        raise RetargetError(
            f"{armature.name} has no motion in the frames {limits[0]} to {limits[1]}: "
            "choose other frames."
        )
    ease = EASE * fps
    outside = np.maximum(np.maximum(limits[0] - frames, frames - limits[1]), 0)
    return frames, smoothstep(1 - outside / (ease + 1))


def _keys(
    armature: bpy.types.Object,
    mapping: RigMapping,
    motion: RoleMotion,
    frames: np.ndarray,
    pace: Pace,
) -> Generator[float, None, dict[str, BoneKeys]]:
    """Find the keys of hips and legs, by bone or control."""
    skeleton = skeletons.read(armature)
    wanted = {"hips", *(f"{name}.{side}" for name in _ROLES for side in feet.legs_of(motion))}
    motion = dataclasses.replace(
        motion, rotations={r: value for r, value in motion.rotations.items() if r in wanted}
    )
    bones = {mapping.bones[role] for role in wanted}
    ancestors = {skeleton.names[index] for index in skeleton.with_ancestors(bones)}
    if mapping.controls or sampling.is_constrained(armature, ancestors):
        return (
            yield from control_rig.solve(
                armature,
                skeleton,
                mapping,
                motion,
                frames,
                "IK" if uses_ik(armature, mapping) else "FK",
                set_switches=False,
                use_locks=True,
                pace=pace,
                keep_motion=True,
            )
        )
    wishes = {}
    for role in wanted:
        delta = motion.rotations[role]
        position = motion.positions["hips"] if role == "hips" else None
        wishes[mapping.bones[role]] = Wish(delta @ motion.rest.rotations[role], position)
    own = sampling.own_transforms_of(armature, skeleton, bones, frames)
    return local_pose.solve(armature, skeleton, wishes, own, use_locks=True)


def uses_ik(armature: bpy.types.Object, mapping: RigMapping) -> bool:
    """Return whether a rig's legs are switched to inverse kinematics."""
    if not any(role.startswith("foot") for role in mapping.ik):
        return False
    votes = []
    for switch in mapping.switches:
        bone = armature.pose.bones.get(switch.bone)
        if bone is None or switch.prop not in bone or None in (switch.fk, switch.ik):
            continue
        if switch.fk != switch.ik:
            value = float(bone[switch.prop])
            votes.append(abs(value - switch.ik) < abs(value - switch.fk))
    return bool(votes) and sum(votes) > len(votes) / 2


def _write(
    armature: bpy.types.Object,
    frames: np.ndarray,
    moved: np.ndarray,
    bone_keys: dict[str, BoneKeys],
) -> None:
    """Write the keys of the frames that move; all others stay."""
    channels = action.channels_of(armature.animation_data)
    limits = float(frames[0]), float(frames[-1])
    for rows in _spans(moved):
        for name, bone in bone_keys.items():
            path = f'pose.bones["{bpy.utils.escape_identifier(name)}"].'
            rotation = bone.rotation
            tracks = [(rotation.path, rotation.values[rows], rotation.keyed)]
            if bone.location is not None:
                tracks.append(("location", bone.location[rows], (0, 1, 2)))
            for prop, values, components in tracks:
                values = curve_spans.continued(channels, path + prop, prop, frames[rows], values)
                for component in components:
                    column = values[:, component]
                    if _is_there(channels, path + prop, component, frames[rows], column):
                        continue
                    curve_spans.replace(
                        channels, path + prop, component, frames[rows], column, limits
                    )


def _is_there(
    channels: action.Channels,
    data_path: str,
    component: int,
    frames: np.ndarray,
    values: np.ndarray,
) -> bool:
    """Return whether a curve has these values already, but for rounding."""
    curve = channels.fcurves.find(data_path, index=component)
    if curve is None:
        return False
    present = np.array([curve.evaluate(frame) for frame in frames.tolist()])
    return bool(np.abs(present - values).max() < _ROUNDING)


def _spans(flags: np.ndarray) -> list[slice]:
    """Return runs of flags."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(int), [0]))))
    return [slice(first, stop) for first, stop in edges.reshape(-1, 2).tolist()]


def add_contacts(armature: bpy.types.Object, mapping: RigMapping, *, use_source: bool) -> int:
    """Give an armature curves of its contacts, and return how many contacts there are.

    Args:
        armature: with an action.
        mapping: of its bones.
        use_source: copy the contacts of the armature that its motion was made from, if it has some.
            False: find them in the motion.

    Raises:
        RetargetError: one sentence, what is wrong.
    """
    check(armature, mapping)
    fps = timeline.fps_of(bpy.context.scene)
    frames = sampling.whole_frames(sampling.frame_range(armature))
    contacts = _contacts_of_source(armature, frames) if use_source else None
    if contacts is None:
        motion = source_motion.read(armature, mapping, frames, lambda share: None).motion
        contacts = found_in(_on_floor(armature, motion), fps)
    missing = {side: np.zeros((len(frames), 2)) for side in "LR"}
    flags = contact_curves.from_confidence(contact_curves.as_table(missing | contacts), fps)
    channels = action.channels_of(armature.animation_data)
    contact_curves.write(channels, armature, frames, flags)
    feet_on = flags.reshape(len(flags), 2, 2).any(-1).T
    return sum(len(_spans(foot)) for foot in feet_on)
