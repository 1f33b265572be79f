"""Control rigs: keys of controls that constraints and drivers relate to the body.

A copy of the rig is evaluated in a temporary scene, where constraints put each control to its
wanted place in the world. The keys are what each control then has to do in its evaluated parent's
space. Further passes correct what the one before shows: hips are moved by what the hip joints miss,
arms by what their shoulders miss, and poles are turned about their limb. The rig itself is never
changed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import bpy
import numpy as np

from .. import action, quaternions
from . import roles, sampling, two_bone_ik
from . import skeleton as skeletons
from .channels import rotation_channels
from .local_pose import BoneKeys, Wish
from .mapping import IkChain, RigMapping, Switch
from .rotations import about, across, orthonormal, rotated, shortest_arc, unit
from .sampling import Progress
from .skeleton import Skeleton
from .transfer import RoleMotion

_PASSES = {"FK": 2, "IK": 3}  # evaluations of all frames
_POLE_DISTANCE = 0.9  # from the elbow or knee, as a share of the upper bone
_STRAIGHT = 0.01  # bend, as a share of the upper bone, below which a pole is not turned
_LIMBS = {"hand": ("upper_arm", "forearm", "hand"), "foot": ("thigh", "shin", "foot")}
_BACKWARD = {"hand": 1.0, "foot": -1.0}  # elbows point back, knees forward


@dataclass
class Wishes:
    """Where the controls shall be."""

    controls: dict[str, Wish] = field(default_factory=dict)
    hips: str = ""  # the control that places the hips
    ends: dict[str, str] = field(default_factory=dict)  # IK control by `hand.L`, …
    poles: dict[str, str] = field(default_factory=dict)  # pole control by `hand.L`, …


def solve(
    armature: bpy.types.Object,
    skeleton: Skeleton,
    mapping: RigMapping,
    motion: RoleMotion,
    frames: np.ndarray,
    controls: Literal["FK", "IK"],
    *,
    set_switches: bool,
    use_locks: bool,
    report: Progress,
) -> dict[str, BoneKeys]:
    """Return the keys of a rig's controls, by name.

    Args:
        armature: with the controls; it is not changed.
        skeleton: of it.
        mapping: of its bones and controls.
        motion: wanted of the roles.
        frames: of the scene, (frames,).
        controls: of arms and legs that are keyed.
        set_switches: the rig's switches will be keyed. False: they stay as they are now.
        use_locks: do not key locked axes.
        report: called with the progress; raises to cancel.
    """
    use_ik = controls == "IK"
    wishes = _wishes(skeleton, mapping, motion, use_ik)
    with _temporary_datablocks():
        copy = _copy(armature)
        if set_switches:
            for switch in mapping.switches:
                _set_property(copy.pose.bones[switch.bone], switch, use_ik)
        empties = _constrain(copy, wishes, frames)
        passes = _PASSES[controls]
        with sampling.evaluated(copy, *empties.values()) as (scene, depsgraph):
            corrections = _Corrections(wishes, skeleton, mapping, motion)
            for number in range(passes):
                posed = _evaluate(
                    scene,
                    depsgraph,
                    copy,
                    frames,
                    lambda share, number=number: report((number + share) / passes),
                )
                if number < passes - 1:
                    corrections.add(posed)
                    for name, wish in wishes.controls.items():
                        _animate(empties[name], wish, frames)
    return {
        name: _keys(armature, skeleton, name, wish, posed, use_locks)
        for name, wish in wishes.controls.items()
    }


def _wishes(skeleton: Skeleton, mapping: RigMapping, motion: RoleMotion, use_ik: bool) -> Wishes:
    wishes = Wishes()
    chains = dict(mapping.ik) if use_ik else {}
    replaced = {
        f"{name}.{roles.side_of(role)}" for role in chains for name in _LIMBS[role.split(".")[0]]
    }
    replaced |= {f"toe.{roles.side_of(role)}" for role, chain in chains.items() if chain.toe}
    for role, delta in motion.rotations.items():
        if role in replaced:
            continue
        has_place = role in {"hips", "root"}
        group = (mapping.control(role), *mapping.followers.get(role, ()))
        for number, name in enumerate(filter(None, group)):
            wish = _at(skeleton, motion, role, delta, name)
            is_placed = has_place and number == 0
            wishes.controls[name] = wish if is_placed else Wish(wish.rotation)
            if role == "hips" and is_placed:
                wishes.hips = name
    for role, chain in chains.items():
        if role in motion.rotations:
            _add_chain(wishes, skeleton, motion, role, chain)
    return wishes


def _add_chain(
    wishes: Wishes, skeleton: Skeleton, motion: RoleMotion, role: str, chain: IkChain
) -> None:
    """Add the controls of a limb's inverse kinematics."""
    name, side = role.split(".")
    wishes.controls[chain.end] = _at(skeleton, motion, role, motion.rotations[role], chain.end)
    wishes.ends[role] = chain.end
    if chain.toe and f"toe.{side}" in motion.rotations:
        toe = f"toe.{side}"
        rotation = _at(skeleton, motion, toe, motion.rotations[toe], chain.toe).rotation
        wishes.controls[chain.toe] = Wish(rotation)
    if not chain.pole:
        return
    start, middle, end = (motion.positions[f"{each}.{side}"] for each in _LIMBS[name])
    upper = f"{_LIMBS[name][0]}.{side}"
    backward = _BACKWARD[name] * motion.rest.facing()[:, 1]
    fallback = rotated(motion.rotations[upper], backward)
    direction = two_bone_ik.bend_direction(start, middle, end, fallback)
    length = np.linalg.norm(middle - start, axis=-1, keepdims=True)
    rest = _rest_rotation(skeleton, chain.pole)
    rotation = np.tile(rest, (len(middle), 1, 1))
    wishes.controls[chain.pole] = Wish(rotation, middle + direction * length * _POLE_DISTANCE)
    wishes.poles[role] = chain.pole


def _at(
    skeleton: Skeleton, motion: RoleMotion, role: str, delta: np.ndarray, control: str
) -> Wish:
    """Return where a control is that is rigidly tied to a role."""
    rest = skeleton.world @ skeleton.rest[skeleton.index[control]]
    offset = rest[:3, 3] - motion.rest.heads[role]
    position = motion.positions[role] + rotated(delta, offset)
    return Wish(delta @ _rest_rotation(skeleton, control), position)


def _rest_rotation(skeleton: Skeleton, name: str) -> np.ndarray:
    return orthonormal((skeleton.world @ skeleton.rest[skeleton.index[name]])[:3, :3])


@contextmanager
def _temporary_datablocks() -> Iterator[None]:
    """Remove all datablocks that are made inside the block."""
    before = set(bpy.data.user_map())
    try:
        yield
    finally:
        bpy.data.batch_remove(set(bpy.data.user_map()) - before)


def _copy(armature: bpy.types.Object) -> bpy.types.Object:
    """Return a copy whose constraints and drivers refer to itself, without an action."""
    copy = armature.copy()
    animation = copy.animation_data
    if animation:
        animation.action = None
        for track in animation.nla_tracks:
            track.mute = True
        for curve in animation.drivers:
            for variable in curve.driver.variables:
                for target in variable.targets:
                    if target.id == armature:
                        target.id = copy
    for bone in copy.pose.bones:
        for constraint in bone.constraints:
            if getattr(constraint, "target", None) == armature:
                constraint.target = copy
            for target in getattr(constraint, "targets", ()):
                if target.target == armature:
                    target.target = copy
    return copy


def _set_property(bone: bpy.types.PoseBone, switch: Switch, use_ik: bool) -> None:
    """Set a property in its own type."""
    value = switch.value(use_ik=use_ik)
    if value is None:
        return
    if switch.prop in bone:
        bone[switch.prop] = type(bone[switch.prop])(value)
    else:
        setattr(bone, switch.prop, value)


def _constrain(
    copy: bpy.types.Object, wishes: Wishes, frames: np.ndarray
) -> dict[str, bpy.types.Object]:
    """Tie controls to animated empties, and return these by the controls' names."""
    empties = {}
    for name, wish in wishes.controls.items():
        empty = bpy.data.objects.new(sampling.TEMPORARY_NAME, None)
        empty.rotation_mode = "QUATERNION"
        _animate(empty, wish, frames)
        bone = copy.pose.bones[name]
        kinds = ["COPY_ROTATION", *(["COPY_LOCATION"] if wish.position is not None else [])]
        for kind in kinds:
            bone.constraints.new(kind).target = empty
        empties[name] = empty
    return empties


def _animate(empty: bpy.types.Object, wish: Wish, frames: np.ndarray) -> None:
    """Key an empty's transform, in place of keys that it has."""
    empty.animation_data_clear()
    channels = action.Motion(sampling.TEMPORARY_NAME).channels(empty)
    rotations = quaternions.make_continuous(quaternions.from_matrices(wish.rotation))
    action.write_channel(channels, "rotation_quaternion", frames, rotations)
    if wish.position is not None:
        action.write_channel(channels, "location", frames, wish.position)


def _evaluate(
    scene: bpy.types.Scene,
    depsgraph: bpy.types.Depsgraph,
    copy: bpy.types.Object,
    frames: np.ndarray,
    report: Progress,
) -> np.ndarray:
    """Return all posed bones in armature space, (frames, bones, 4, 4)."""
    swept = sampling.sweep(scene, depsgraph, copy, frames, report)
    return np.array([matrices for _, matrices in swept])


class _Corrections:
    """Corrections of wishes by what the evaluated rig misses, pass by pass."""

    def __init__(
        self, wishes: Wishes, skeleton: Skeleton, mapping: RigMapping, motion: RoleMotion
    ) -> None:
        self._wishes, self._skeleton = wishes, skeleton
        self._mapping, self._motion = mapping, motion
        self._first = dict(wishes.controls)
        self._angles = dict.fromkeys(wishes.poles, 0.0)  # by which the poles are turned

    def add(self, posed: np.ndarray) -> None:
        """Change the wishes by what posed bones, (frames, bones, 4, 4), miss."""
        controls, motion = self._wishes.controls, self._motion
        wanted = (motion.positions["thigh.L"] + motion.positions["thigh.R"]) / 2
        miss = wanted - (self._place(posed, "thigh.L") + self._place(posed, "thigh.R")) / 2
        if hips := self._wishes.hips:
            controls[hips] = Wish(controls[hips].rotation, controls[hips].position + miss)
        for role, end in self._wishes.ends.items():
            name, side = role.split(".")
            upper = f"{_LIMBS[name][0]}.{side}"
            shift = np.zeros_like(miss)
            if name == "hand":  # the hips' correction moves the shoulders, too
                shift = self._place(posed, upper) + miss - motion.positions[upper]
            first = self._first[end]
            controls[end] = Wish(first.rotation, first.position + shift)
            if pole := self._wishes.poles.get(role):
                self._angles[role] = self._angles[role] + self._turn(posed, role)
                start = motion.positions[upper]
                axis = unit(motion.positions[role] - start)
                way = self._first[pole].position - start
                turned = rotated(about(axis, self._angles[role]), way)
                controls[pole] = Wish(self._first[pole].rotation, start + shift + turned)

    def _place(self, posed: np.ndarray, role: str) -> np.ndarray:
        """Return the world positions of a role's bone, (frames, 3)."""
        bone = self._skeleton.index[self._mapping.bones[role]]
        return (self._skeleton.world @ posed[:, bone])[:, :3, 3]

    def _turn(self, posed: np.ndarray, role: str) -> np.ndarray:
        """Return the angles about a limb by which its middle joint misses its plane, (frames,)."""
        name, side = role.split(".")
        upper, middle, _ = (f"{each}.{side}" for each in _LIMBS[name])
        positions = self._motion.positions
        axis = unit(positions[role] - positions[upper])
        start = self._place(posed, upper)
        axis_found = unit(self._place(posed, role) - start)
        level = shortest_arc(axis_found, axis)
        want = across(positions[middle] - positions[upper], axis)
        found = across(rotated(level, self._place(posed, middle) - start), axis)
        size = np.linalg.norm(positions[middle] - positions[upper], axis=-1)
        bend = np.minimum(np.linalg.norm(want, axis=-1), np.linalg.norm(found, axis=-1))
        angles = np.arctan2((axis * np.cross(found, want)).sum(-1), (found * want).sum(-1))
        return np.where(bend > _STRAIGHT * size, angles, 0)


def _keys(
    armature: bpy.types.Object,
    skeleton: Skeleton,
    name: str,
    wish: Wish,
    posed: np.ndarray,
    use_locks: bool,
) -> BoneKeys:
    """Return the keys that a control needs in its evaluated parent's space."""
    bone = skeleton.index[name]
    parent = int(skeleton.parents[bone])
    space = skeletons.bone_space(skeleton, bone, posed[:, parent] if parent >= 0 else None)
    inside = orthonormal(space.rotation[:, :3, :3]).swapaxes(1, 2)
    wanted = inside @ orthonormal(posed[:, bone, :3, :3])
    channels = rotation_channels(armature.pose.bones[name], wanted, use_locks=use_locks)
    location = None
    if wish.position is not None:
        offset = posed[:, bone, :3, 3] - space.location[:, :3, 3]
        location = np.linalg.solve(space.location[:, :3, :3], offset[..., None])[..., 0]
    return BoneKeys(channels, location)
