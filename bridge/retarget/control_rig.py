"""Control rigs: keys of controls that constraints and drivers relate to the body.

A copy of the rig is evaluated in a temporary scene, where constraints put each control to its
wanted place in the world. The keys are what each control then has to do in its evaluated parent's
space. Where the hips are below their control is first estimated from a few frames, as a function
of the trunk's rotations; then one evaluation of all frames is usually enough. Frames that miss
something are evaluated again: hips are moved by what the hip joints miss, arms by what their
shoulders miss, and poles are turned about their limb. The rig itself is never changed.
"""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import bpy
import numpy as np

from .. import action, quaternions
from . import rig_dependencies, roles, sampling, steps, two_bone_ik
from . import skeleton as skeletons
from .channels import rotation_channels
from .local_pose import BoneKeys, Wish
from .mapping import IkChain, RigMapping, Switch
from .rotations import about, across, orthonormal, rotated, shortest_arc, unit
from .skeleton import Skeleton
from .steps import Pace
from .transfer import RoleMotion

_PASSES = 4  # evaluations of a frame at most
_PROBES = 16  # frames from which the offset of the hips is estimated
_NEAR = 1e-4  # misses that are left, as a share of the legs
_LEVEL = np.radians(0.1)  # turns of poles that are left
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
    pace: Pace,
    keep_motion: bool = False,
) -> Generator[float, None, dict[str, BoneKeys]]:
    """Find the keys of a rig's controls, by name.

    Args:
        armature: with the controls; it is not changed.
        skeleton: of it.
        mapping: of its bones and controls.
        motion: wanted of the roles.
        frames: of the scene, (frames,).
        controls: of arms and legs that are keyed.
        set_switches: the rig's switches will be keyed. False: they stay as they are now.
        use_locks: do not key locked axes.
        pace: of the pauses.
        keep_motion: other controls move as in the rig's present action. False: they stay as they
            are now.

    Yields:
        Progress, 0…1.
    """
    use_ik = controls == "IK"
    wishes = _wishes(skeleton, mapping, motion, use_ik)
    switches = tuple((switch, use_ik) for switch in mapping.switches if set_switches)
    evaluation = _Evaluation(
        armature, skeleton, mapping, wishes, switches, frames, pace, keep_motion=keep_motion
    )
    corrections = _Corrections(wishes, skeleton, mapping, motion, evaluation.columns)
    if len(frames) > 2 * _PROBES:
        probes = np.linspace(0, len(frames) - 1, _PROBES).round().astype(int)
        sampled = yield from steps.scaled(evaluation.posed(probes), 0.0, 0.0)
        corrections.predict(probes, sampled)
    pending = np.arange(len(frames))
    posed = np.empty((len(frames), len(evaluation.columns), 4, 4))
    done = 0.0
    for number in range(_PASSES):
        until = 0.9 if number == 0 else (1 + done) / 2
        posed[pending] = yield from steps.scaled(evaluation.posed(pending), done, until)
        done = until
        pending = corrections.add(pending, posed[pending])
        if not len(pending):
            break
    return {
        name: _keys(armature, skeleton, name, wish, posed, evaluation.columns, use_locks)
        for name, wish in wishes.controls.items()
    }


class _Evaluation:
    """Evaluation of a copy of a rig whose controls are where they are wanted."""

    def __init__(
        self,
        armature: bpy.types.Object,
        skeleton: Skeleton,
        mapping: RigMapping,
        wishes: Wishes,
        switches: tuple[tuple[Switch, bool], ...],
        frames: np.ndarray,
        pace: Pace,
        *,
        keep_motion: bool,
    ) -> None:
        self._armature, self._wishes, self._keep_motion = armature, wishes, keep_motion
        self._switches, self._frames, self._pace = switches, frames, pace
        names = {*mapping.bones.values(), *wishes.controls}
        self._needed = rig_dependencies.needed(armature, names)
        bones = {skeleton.index[name] for name in names}
        bones |= {int(skeleton.parents[skeleton.index[name]]) for name in wishes.controls} - {-1}
        self._bones = sorted(bones)
        self.columns = {bone: column for column, bone in enumerate(self._bones)}

    def posed(self, which: np.ndarray) -> Generator[float, None, np.ndarray]:
        """Evaluate frames and return posed bones in armature space, (which, columns, 4, 4).

        Args:
            which: positions of the frames.

        Yields:
            Progress, 0…1.
        """
        result = np.empty((len(which), len(self._bones), 4, 4))
        for span in self._pace.spans(len(which)):
            result[span] = self._evaluate(which[span])
            yield span.stop / len(which)
        return result

    def _evaluate(self, which: np.ndarray) -> np.ndarray:
        frames = self._frames[which]
        with _temporary_datablocks():
            copy = _copy(self._armature, keep_motion=self._keep_motion)
            rig_dependencies.free(copy, self._needed)
            for switch, use_ik in self._switches:
                _set_property(copy.pose.bones[switch.bone], switch, use_ik)
            empties = _constrain(copy, self._wishes, frames, which)
            with sampling.evaluated(copy, *empties) as (scene, depsgraph):
                swept = sampling.sweep(scene, depsgraph, copy, frames)
                return np.array([matrices[self._bones] for _, matrices in swept])


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
    lower = f"{_LIMBS[name][1]}.{side}"
    if chain.twist and lower in motion.rotations:
        rotation = _at(skeleton, motion, lower, motion.rotations[lower], chain.twist).rotation
        wishes.controls[chain.twist] = Wish(rotation)
    if not chain.pole:
        return
    start, middle, end = (motion.positions[f"{each}.{side}"] for each in _LIMBS[name])
    upper = f"{_LIMBS[name][0]}.{side}"
    backward = _BACKWARD[name] * motion.rest.facing()[:, 1]
    fallback = rotated(motion.rotations[upper], backward)
    direction = two_bone_ik.bend_direction(start, middle, end, fallback, bent=_STRAIGHT / 2)
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


def _copy(armature: bpy.types.Object, *, keep_motion: bool) -> bpy.types.Object:
    """Return a copy whose constraints and drivers refer to itself, with or without its action."""
    copy = armature.copy()
    animation = copy.animation_data
    if animation:
        if not keep_motion:
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
    copy: bpy.types.Object, wishes: Wishes, frames: np.ndarray, which: np.ndarray
) -> list[bpy.types.Object]:
    """Tie controls to animated empties, and return these."""
    empties = []
    for name, wish in wishes.controls.items():
        empty = bpy.data.objects.new(sampling.TEMPORARY_NAME, None)
        empty.rotation_mode = "QUATERNION"
        channels = action.Motion(sampling.TEMPORARY_NAME).channels(empty)
        rotations = quaternions.make_continuous(quaternions.from_matrices(wish.rotation[which]))
        action.write_channel(channels, "rotation_quaternion", frames, rotations)
        if wish.position is not None:
            action.write_channel(channels, "location", frames, wish.position[which])
        bone = copy.pose.bones[name]
        kinds = ["COPY_ROTATION", *(["COPY_LOCATION"] if wish.position is not None else [])]
        for kind in kinds:
            bone.constraints.new(kind).target = empty
        empties.append(empty)
    return empties


class _Corrections:
    """Corrections of wishes by what the evaluated rig misses, pass by pass."""

    def __init__(
        self,
        wishes: Wishes,
        skeleton: Skeleton,
        mapping: RigMapping,
        motion: RoleMotion,
        columns: Mapping[int, int],
    ) -> None:
        self._wishes, self._motion, self._world = wishes, motion, skeleton.world
        self._column = {
            role: columns[skeleton.index[bone]] for role, bone in mapping.bones.items()
        }
        placed = {n: w for n, w in wishes.controls.items() if w.position is not None}
        self._first = placed
        wishes.controls |= {n: Wish(w.rotation, w.position.copy()) for n, w in placed.items()}
        frames = len(motion.positions["hips"])
        self._shifts = {role: np.zeros((frames, 3)) for role in wishes.ends}
        self._angles = {role: np.zeros(frames) for role in wishes.poles}  # the poles are turned by

    def predict(self, which: np.ndarray, posed: np.ndarray) -> None:
        """Move the hips' control by what the hip joints will miss, estimated from a few frames.

        From the control to the hip joints lead bones of the trunk, so the offset is a sum of
        vectors that turn with the rotations of the trunk's roles. The vectors are fitted.

        Args:
            which: positions of the frames.
            posed: bones at these frames, (which, bones, 4, 4).
        """
        if not self._wishes.hips:
            return
        trunk = [
            role for role in ("hips", *roles.chain("spine")) if role in self._motion.rotations
        ]
        turns = np.concatenate([self._motion.rotations[role] for role in trunk], axis=-1)
        miss = self._hips_miss(which, posed)
        vectors, *_ = np.linalg.lstsq(
            turns[which].reshape(-1, turns.shape[-1]), miss.reshape(-1), rcond=1e-6
        )
        wish = self._wishes.controls[self._wishes.hips]
        self._wishes.controls[self._wishes.hips] = Wish(
            wish.rotation, wish.position + turns @ vectors
        )

    def add(self, which: np.ndarray, posed: np.ndarray) -> np.ndarray:
        """Change the wishes at frames that miss something, and return the positions of these.

        Args:
            which: positions of the frames.
            posed: bones at these frames, (which, bones, 4, 4).
        """
        controls, motion = self._wishes.controls, self._motion
        near = _NEAR * motion.rest.leg_length()
        miss = self._hips_miss(which, posed)
        is_off = np.linalg.norm(miss, axis=-1) > near
        shifts, turns = {}, {}
        for role in self._wishes.ends:
            name, side = role.split(".")
            upper = f"{_LIMBS[name][0]}.{side}"
            shifts[role] = np.zeros_like(miss)
            if name == "hand":  # the hips' correction moves the shoulders, too
                shifts[role] = self._place(posed, upper) + miss - motion.positions[upper][which]
            change = shifts[role] - self._shifts[role][which]
            is_off |= np.linalg.norm(change, axis=-1) > near
            if role in self._wishes.poles:
                turns[role] = self._turn(which, posed, role)
                is_off |= np.abs(turns[role]) > _LEVEL
        off = which[is_off]
        if hips := self._wishes.hips:
            controls[hips].position[off] += miss[is_off]
        for role, end in self._wishes.ends.items():
            self._shifts[role][off] = shifts[role][is_off]
            controls[end].position[off] = self._first[end].position[off] + shifts[role][is_off]
            if pole := self._wishes.poles.get(role):
                self._angles[role][off] += turns[role][is_off]
                name, side = role.split(".")
                start = motion.positions[f"{_LIMBS[name][0]}.{side}"][off]
                axis = unit(motion.positions[role][off] - start)
                way = self._first[pole].position[off] - start
                turned = rotated(about(axis, self._angles[role][off]), way)
                controls[pole].position[off] = start + self._shifts[role][off] + turned
        return off

    def _hips_miss(self, which: np.ndarray, posed: np.ndarray) -> np.ndarray:
        positions = self._motion.positions
        wanted = (positions["thigh.L"] + positions["thigh.R"])[which] / 2
        return wanted - (self._place(posed, "thigh.L") + self._place(posed, "thigh.R")) / 2

    def _place(self, posed: np.ndarray, role: str) -> np.ndarray:
        """Return the world positions of a role's bone, (frames, 3)."""
        return (self._world @ posed[:, self._column[role]])[:, :3, 3]

    def _turn(self, which: np.ndarray, posed: np.ndarray, role: str) -> np.ndarray:
        """Return the angles about a limb by which its middle joint misses its plane, (which,)."""
        name, side = role.split(".")
        upper, middle, _ = (f"{each}.{side}" for each in _LIMBS[name])
        positions = {each: self._motion.positions[each][which] for each in (upper, middle, role)}
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
    columns: Mapping[int, int],
    use_locks: bool,
) -> BoneKeys:
    """Return the keys that a control needs in its evaluated parent's space."""
    bone = skeleton.index[name]
    parent, own = int(skeleton.parents[bone]), posed[:, columns[bone]]
    above = posed[:, columns[parent]] if parent >= 0 else None
    space = skeletons.bone_space(skeleton, bone, above)
    inside = orthonormal(space.rotation[:, :3, :3]).swapaxes(1, 2)
    wanted = inside @ orthonormal(own[:, :3, :3])
    channels = rotation_channels(armature.pose.bones[name], wanted, use_locks=use_locks)
    location = None
    if wish.position is not None:
        offset = own[:, :3, 3] - space.location[:, :3, 3]
        location = np.linalg.solve(space.location[:, :3, :3], offset[..., None])[..., 0]
    return BoneKeys(channels, location)
