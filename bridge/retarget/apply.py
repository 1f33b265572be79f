"""Applying a motion: from a source armature with an action to a new action of a target armature."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal, NamedTuple

import bpy
import numpy as np

from .. import timeline
from . import (
    body_surface,
    control_rig,
    feet,
    hands,
    keys,
    local_pose,
    rig,
    root_motion,
    source_motion,
    transfer,
)
from . import skeleton as skeletons
from . import steps as step_by_step
from .contacts import Contacts
from .errors import RetargetError
from .local_pose import BoneKeys, Wish
from .mapping import RigMapping, Switch
from .sampling import is_constrained
from .steps import Pace, Progress
from .transfer import RoleMotion, Travel


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a motion is applied."""

    travel: Travel = "SCALED"
    root: root_motion.RootMode = "HIPS"
    keep_contacts: bool = True  # of the feet with the floor
    keep_hands: bool = False  # in contact with the body and with each other
    controls: Literal["FK", "IK"] = "FK"  # which controls of arms and legs are keyed
    key_switches: bool = False  # of the rig between FK and IK
    use_locks: bool = True  # leave locked axes without keys


class Applied(NamedTuple):
    """What was applied."""

    target: bpy.types.Object
    action: bpy.types.Action
    curves: int
    frames: int
    missing: tuple[str, ...]  # roles of the target that the source does not move
    lowered: float  # the most that hips were lowered for a foot, world units
    constrained: tuple[str, ...]  # keyed bones that constraints or drivers move nevertheless
    is_hidden_by_switches: bool  # the rig is switched to the controls without keys


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """A motion to apply to an armature."""

    source: bpy.types.Object  # armature with an action
    source_mapping: RigMapping
    target: bpy.types.Object  # armature to animate
    target_mapping: RigMapping
    frames: np.ndarray | None = None  # of the scene; None: all whole frames of the action
    contacts: Contacts | None = None  # of the source's feet at the frames; None: found


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
    task = Task(
        source=source,
        source_mapping=source_mapping,
        target=target,
        target_mapping=target_mapping,
        frames=frames,
        contacts=contacts,
    )
    (applied,) = step_by_step.finish(apply_all([task], options, Pace(np.inf)), report)
    return applied


def apply_all(
    tasks: Sequence[Task], options: Options, pace: Pace
) -> Generator[float, None, list[Applied]]:
    """Key motions on armatures, each in a new action.

    All keys are written at the end, in one step. So nothing is changed if one of the tasks fails,
    or if the steps are left before their end.

    Args:
        tasks: motions and armatures.
        options: how.
        pace: of the pauses.

    Yields:
        Progress, 0…1.

    Raises:
        RetargetError: one sentence, what is wrong.
    """
    targets: set[bpy.types.Object] = set()
    for task in tasks:
        check_target(task.source, task.target)
        rig.check_mapping(task.target, task.target_mapping)
        if task.target in targets:
            raise RetargetError(f"{task.target.name} gets two motions: choose one of them.")
        targets.add(task.target)
    solved = []
    for index, task in enumerate(tasks):
        first, last = index / len(tasks), (index + 1) / len(tasks)
        solved.append(
            (yield from step_by_step.scaled(_solve_task(task, options, pace), first, last))
        )
    with ExitStack() as written:  # if one fails, all actions are taken back
        return [_write(written, each, options) for each in solved]


@dataclass(frozen=True, eq=False)
class _Solved:
    """Keys of a target, not yet written."""

    task: Task
    mapping: RigMapping  # what the source can move
    frames: np.ndarray
    keys: dict[str, BoneKeys]
    lowered: float


def _solve_task(task: Task, options: Options, pace: Pace) -> Generator[float, None, _Solved]:
    """Find the keys of a target."""
    target = task.target
    reading = source_motion.sample(task.source, task.source_mapping, task.frames, pace)
    motion, frames = yield from step_by_step.scaled(reading, 0.0, 0.5)
    mapping = task.target_mapping.shared_with(task.source_mapping)
    prepared = _prepare(target, mapping, options)
    fps = timeline.fps_of(bpy.context.scene)
    posed, lowered = _solve(task.source, motion, prepared, fps, options, task.contacts)
    if prepared.is_constrained:
        solving = control_rig.solve(
            prepared.armature,
            prepared.skeleton,
            mapping,
            posed,
            frames,
            options.controls,
            set_switches=options.key_switches,
            use_locks=options.use_locks,
            pace=pace,
        )
        bone_keys = yield from step_by_step.scaled(solving, 0.5, 1.0)
    else:
        bone_keys = _plain_keys(prepared, posed, options)
    return _Solved(task, mapping, frames, bone_keys, lowered)


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
    source_armature: bpy.types.Object,
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
    if options.keep_hands:
        armatures = (source_armature, target.armature)
        use_meshes = all(body_surface.has_meshes(armature) for armature in armatures)
        surfaces = tuple(
            body_surface.read(armature, rest, use_meshes=use_meshes)
            for armature, rest in zip(armatures, (source.rest, target.rest), strict=True)
        )
        motion = hands.keep_contacts(source, motion, surfaces, fps)
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


def _write(written: ExitStack, solved: _Solved, options: Options) -> Applied:
    """Write the keys of a target; if the stack is left by an error, they are taken back."""
    task, mapping, frames = solved.task, solved.mapping, solved.frames
    target, use_ik = task.target, options.controls == "IK"
    name = f"{task.source.name} on {target.name}"
    motion = written.enter_context(keys.new_action(target, name, task.source.name))
    curves = keys.write(motion, target, frames, solved.keys)
    if options.key_switches:
        keys.write_switches(motion, target, frames[0], mapping.switches, use_ik=use_ik)
        if not use_ik:  # keys of an earlier action may have left them turned
            twists = [chain.twist for chain in mapping.ik.values() if chain.twist]
            keys.write_rest_rotations(motion, target, frames[0], twists)
    constrained = (
        ()
        if mapping.controls
        else tuple(bone for bone in solved.keys if is_constrained(target, {bone}))
    )
    is_hidden = not options.key_switches and any(
        _differs(target, switch, use_ik) for switch in mapping.switches
    )
    missing = tuple(role for role in task.target_mapping.bones if role not in mapping.bones)
    action = target.animation_data.action
    return Applied(
        target, action, curves, len(frames), missing, solved.lowered, constrained, is_hidden
    )
