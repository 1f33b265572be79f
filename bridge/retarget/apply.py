"""Applying a motion: from a source armature with an action to a new action of a target armature."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import bpy
import numpy as np

from .. import timeline
from . import control_rig, feet, keys, local_pose, rig, root_motion, source_motion, transfer
from . import skeleton as skeletons
from .contacts import Contacts
from .errors import RetargetError
from .local_pose import BoneKeys, Wish
from .mapping import RigMapping, Switch
from .sampling import Progress, is_constrained
from .transfer import RoleMotion, Travel


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a motion is applied."""

    travel: Travel = "SCALED"
    root: root_motion.RootMode = "HIPS"
    keep_contacts: bool = True
    controls: Literal["FK", "IK"] = "FK"  # which controls of arms and legs are keyed
    key_switches: bool = False  # of the rig between FK and IK
    use_locks: bool = True  # leave locked axes without keys


class Applied(NamedTuple):
    """What was applied."""

    action: bpy.types.Action
    curves: int
    frames: int
    missing: tuple[str, ...]  # roles of the target that the source does not move
    lowered: float  # the most that hips were lowered for a foot, world units
    constrained: tuple[str, ...]  # keyed bones that constraints or drivers move nevertheless
    is_hidden_by_switches: bool  # the rig is switched to the controls without keys


def apply_motion(
    source: bpy.types.Object,
    source_mapping: RigMapping,
    target: bpy.types.Object,
    target_mapping: RigMapping,
    options: Options,
    *,
    frames: np.ndarray | None = None,
    contacts: Contacts | None = None,
    report: Progress = lambda share: None,
) -> Applied:
    """Key the motion of a source armature on a target armature, in a new action.

    Nothing else of the target is changed, and nothing at all if this fails or is cancelled.

    Args:
        source: armature with an action.
        source_mapping: of its bones.
        target: armature to animate.
        target_mapping: of its bones.
        options: how.
        frames: of the scene; None: all whole frames of the source's action.
        contacts: of the source's feet at the frames; None: found from its motion.
        report: called with the progress; raises to cancel.

    Raises:
        RetargetError: one sentence, what is wrong.
    """
    check_target(source, target)
    rig.check_mapping(target, target_mapping)
    motion, frames = source_motion.read(
        source, source_mapping, frames, lambda share: report(0.5 * share)
    )
    mapping = target_mapping.shared_with(source_mapping)
    prepared = _prepare(target, mapping, options)
    fps = timeline.fps_of(bpy.context.scene)
    posed, lowered = _solve(motion, prepared, fps, options, contacts)
    if prepared.is_constrained:
        bone_keys = control_rig.solve(
            prepared.armature,
            prepared.skeleton,
            mapping,
            posed,
            frames,
            options.controls,
            set_switches=options.key_switches,
            use_locks=options.use_locks,
            report=lambda share: report(0.5 + 0.5 * share),
        )
    else:
        bone_keys = _plain_keys(prepared, posed, options)
    written, curves = _write(source, target, mapping, frames, bone_keys, options)
    missing = tuple(role for role in target_mapping.bones if role not in mapping.bones)
    constrained = (
        () if mapping.controls else tuple(b for b in bone_keys if is_constrained(target, {b}))
    )
    use_ik = options.controls == "IK"
    is_hidden = not options.key_switches and any(
        _differs(target, switch, use_ik) for switch in mapping.switches
    )
    return Applied(written, curves, len(frames), missing, lowered, constrained, is_hidden)


def _differs(target: bpy.types.Object, switch: Switch, use_ik: bool) -> bool:
    """Return whether a switch that has one value in FK and another in IK has the wrong one."""
    value = switch.value(use_ik=use_ik)
    bone = target.pose.bones[switch.bone]
    if value is None or switch.fk in {None, switch.ik} or switch.prop not in bone:
        return False
    return abs(float(bone[switch.prop]) - value) > 0.5 * abs(switch.fk - switch.ik)


def check_target(source: bpy.types.Object, target: bpy.types.Object) -> None:
    """Check that a motion can be keyed on an object.

    Raises:
        RetargetError: it cannot.
    """
    if target is None or target.type != "ARMATURE":
        name = target.name if target else "Nothing"
        raise RetargetError(f"{name} is not an armature: choose an armature as the target.")
    if source is None or source.type != "ARMATURE":
        name = source.name if source else "Nothing"
        raise RetargetError(f"{name} is not an armature: choose an armature as the source.")
    if source == target:
        raise RetargetError("The source and the target are the same armature.")
    if target.library is not None:
        raise RetargetError(
            f"{target.name} is linked from another file: make a library override first."
        )
    if target.override_library and target.override_library.is_system_override:
        raise RetargetError(f"The library override of {target.name} is not editable: enable it.")
    if target.animation_data and target.animation_data.use_tweak_mode:
        raise RetargetError(f"{target.name} is in the NLA's tweak mode: leave it first.")
    if any(obj.mode == "EDIT" for obj in (source, target)):
        raise RetargetError("The armature is in Edit Mode: leave it first.")


@dataclass(frozen=True, eq=False)
class _Prepared:
    """Target whose rest pose is read."""

    armature: bpy.types.Object
    skeleton: skeletons.Skeleton
    mapping: RigMapping
    neutral: dict[int, np.ndarray]
    rest: rig.RoleRest
    ground: float
    is_constrained: bool


def _prepare(target: bpy.types.Object, mapping: RigMapping, options: Options) -> _Prepared:
    skeleton = skeletons.read(target)
    bones = set(mapping.bones.values()) - {mapping.bones.get("root")}
    ancestors = {skeleton.names[index] for index in skeleton.with_ancestors(bones)}
    constrained = bool(mapping.controls) or is_constrained(target, ancestors)
    if mapping.controls and not mapping.control("hips"):
        raise RetargetError(
            f"{target.name} has no control for the hips by its preset: choose another preset."
        )
    if options.controls == "IK" and not mapping.ik:
        raise RetargetError(
            f"The preset of {target.name} names no IK controls: choose FK or another preset."
        )
    neutral: dict[int, np.ndarray] = {}
    if not constrained:
        followers = {bone for group in mapping.followers.values() for bone in group}
        moved = {mapping.bones["hips"]}
        rotated = bones | followers
        if options.root == "ROOT":
            rotated, moved = (group | {mapping.bones.get("root")} for group in (rotated, moved))
        neutral = skeletons.neutral_transforms(target, skeleton, rotated, moved)
    rest = rig.rest_of(skeleton, mapping, neutral, use_bone_parents=not constrained)
    rig.check_limbs(target, rest)
    ground = rig.ground_of(target, rest)
    return _Prepared(target, skeleton, mapping, neutral, rest, ground, constrained)


def _solve(
    source: RoleMotion,
    target: _Prepared,
    fps: float,
    options: Options,
    contacts: Contacts | None,
) -> tuple[RoleMotion, float]:
    """Return the motion of the target's roles, and how far its hips were lowered."""
    motion, floor_map = transfer.fk(source, target.rest, target.ground, options.travel)
    lowered = 0.0
    if options.keep_contacts:
        motion, lowered = feet.keep_contacts(source, motion, floor_map, fps, contacts)
    motion = root_motion.separate(
        motion, options.root, has_root="root" in target.mapping.bones, name=target.armature.name
    )
    return motion, lowered


def _plain_keys(target: _Prepared, motion: RoleMotion, options: Options) -> dict[str, BoneKeys]:
    wishes: dict[str, Wish] = {}
    mapping = target.mapping
    for role, delta in motion.rotations.items():
        bones = (mapping.bones[role], *mapping.followers.get(role, ()))
        for bone in bones:
            rest = target.rest.rotations[role]
            if bone != mapping.bones[role]:
                rest = rig.rest_rotation(target.skeleton, bone, target.neutral)
            position = motion.positions.get(role) if role in {"hips", "root"} else None
            wishes[bone] = Wish(delta @ rest, position)
    if all(target.armature.pose.bones[mapping.bones["hips"]].lock_location) and options.use_locks:
        raise RetargetError(
            f"The location of {mapping.bones['hips']} is locked: unlock it or ignore locks."
        )
    return local_pose.solve(
        target.armature, target.skeleton, wishes, target.neutral, use_locks=options.use_locks
    )


def _write(
    source: bpy.types.Object,
    target: bpy.types.Object,
    mapping: RigMapping,
    frames: np.ndarray,
    bone_keys: dict[str, BoneKeys],
    options: Options,
) -> tuple[bpy.types.Action, int]:
    name = f"{source.name} on {target.name}"
    with keys.new_action(target, name, source.name) as motion:
        curves = keys.write(motion, target, frames, bone_keys)
        if options.key_switches:
            keys.write_switches(
                motion, target, frames[0], mapping.switches, use_ik=options.controls == "IK"
            )
        written = target.animation_data.action
    return written, curves
