"""Bodies: where joints are for the samples of tracks, and how far each track's error moves them.

A `PlainBody` is exact: forward kinematics of a skeleton that only F-curves move. A `LinearBody`
stands for rigs with constraints: it adds up what the error of each control moves rigidly, to first
order, and what it gives has to be checked by evaluating the rig.
"""

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

import bpy
import numpy as np

from ..retarget import rig_dependencies, sampling
from ..retarget import skeleton as skeletons
from ..retarget.rotations import orthonormal
from ..retarget.skeleton import Skeleton
from . import bone_curves
from .bone_curves import Track
from .posing import rotation_samples

if TYPE_CHECKING:
    from .reduction import Reduction


class Body(ABC):
    """Joints of an armature as functions of tracks."""

    def __init__(
        self,
        armature: bpy.types.Object,
        tracks: Sequence[Track],
        transforms: dict[str, np.ndarray],
        feet: Container[str],
    ) -> None:
        """Read an armature.

        Args:
            armature: whose bones the tracks move.
            tracks: that may change.
            transforms: bones in the world as they are now, (frames, 4, 4), by name: those whose
                joints are measured and those of the tracks.
            feet: bones whose joints are measured in any case.
        """
        self._armature, self._tracks = armature, tracks
        self._skeleton = skeletons.read(armature)
        self._transforms = transforms
        self.bones = _measured(armature, transforms, feet)
        self.reference = joints_of(self._skeleton, transforms, self.bones)
        self._moves = _moved(armature, tracks, self.bones)
        self._scale = self._skeleton.scale
        self.compensates = False  # bones make up for what the bones above them are off by

    @abstractmethod
    def settle(self, reduction: "Reduction", changed: set[int]) -> np.ndarray:
        """Return the joints in the world, (frames, joints, 3), with a reduction's samples.

        Args:
            reduction: of the tracks; its targets may be changed.
            changed: tracks whose keys are others than in the call before.
        """

    def leverage(self, track: int, frames: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """Return how far a unit of a track's error (see `errors`) moves joints, (pairs,).

        Args:
            track: its position.
            frames: (pairs,).
            joints: (pairs,).
        """
        moves = self._moves[track, joints]
        if self._tracks[track].prop == "location":
            return moves * self._scale
        head = self._transforms[self._tracks[track].bone][frames, :3, 3]
        return moves * np.linalg.norm(self.reference[frames, joints] - head, axis=-1)

    def least(self, track: int, slack: np.ndarray) -> np.ndarray:
        """Return the smallest of the values (frames, joints) of joints that a track moves."""
        moved = self._moves[track]
        return slack[:, moved].min(1) if moved.any() else np.full(len(slack), np.inf)

    def reach(self, track: int) -> float:
        """Return the largest leverage of a track."""
        if self._tracks[track].prop == "location":
            return self._scale
        head = self._transforms[self._tracks[track].bone][:, None, :3, 3]
        distance = np.linalg.norm(self.reference[:, self._moves[track]] - head, axis=-1)
        return float(distance.max(initial=0))


class PlainBody(Body):
    """Skeleton that nothing but F-curves moves."""

    def __init__(
        self,
        armature: bpy.types.Object,
        tracks: Sequence[Track],
        transforms: dict[str, np.ndarray],
        feet: Container[str],
        others: Sequence[Track],
    ) -> None:
        """Read an armature.

        Args:
            armature: whose bones the tracks move.
            tracks: that may change.
            transforms: see `Body`.
            feet: see `Body`.
            others: tracks that stay as they are.
        """
        super().__init__(armature, tracks, transforms, feet)
        self.compensates = True
        self._channels: dict[str, dict[tuple[str, int], np.ndarray]] = {}
        for track in (*others, *tracks):
            self._set(track, track.samples)
        in_armature = np.linalg.inv(self._skeleton.world)
        self._wanted = {
            self._skeleton.index[name]: in_armature @ posed for name, posed in transforms.items()
        }
        self._needed = sorted(self._skeleton.with_ancestors(self.bones))
        self._tracks_of = {
            bone: [i for i, track in enumerate(tracks) if track.bone == self._skeleton.names[bone]]
            for bone in self._needed
        }
        self._offsets = self._offsets_below()
        self._own: dict[int, np.ndarray] = {}
        self._posed: dict[int, np.ndarray] = {}

    def leverage(self, track: int, frames: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """Return how far a unit of a track's error moves joints, (pairs,) (see `Body`).

        What bones below make up for is left out: a turn moves them by their own offset only.
        """
        if not self.compensates or not self._tracks[track].prop.startswith("rotation"):
            return super().leverage(track, frames, joints)
        return self._offsets[track, joints]

    def settle(self, reduction: "Reduction", changed: set[int]) -> np.ndarray:
        """Return the joints in the world, (frames, joints, 3) (see `Body`).

        A bone's target is what brings it to its place and rotation in the world, below bones that
        are off by something: else errors would add up along a limb.
        """
        skeleton = self._skeleton
        moved: set[int] = set()
        for bone in self._needed:
            parent = int(skeleton.parents[bone])
            own_changes = any(index in changed for index in self._tracks_of[bone])
            if bone in self._posed and parent not in moved and not own_changes:
                continue
            moved.add(bone)
            space = skeletons.bone_space(skeleton, bone, self._posed.get(parent))
            for index in self._tracks_of[bone]:
                target = self._target(index, bone, space) if self.compensates else None
                if target is not None and parent >= 0:
                    reduction.set_target(index, target)
                self._set(self._tracks[index], reduction.samples[index])
            if own_changes or self._tracks_of[bone] or bone not in self._own:
                self._own[bone] = self._own_transforms(skeleton.names[bone])
            self._posed[bone] = skeletons.apply(space, self._own[bone])
        shape = (len(self.reference), 4, 4)
        world = {
            name: skeleton.world @ np.broadcast_to(self._posed[skeleton.index[name]], shape)
            for name in self.bones
        }
        return joints_of(skeleton, world, self.bones)

    def _offsets_below(self) -> np.ndarray:
        """Return the lengths from the tracks' bones to the next ones towards the joints.

        Returns:
            (tracks, joints), world units; 0 for joints that a track does not move.
        """
        skeleton, count = self._skeleton, len(self.bones)
        heads = skeleton.rest[:, :3, 3]
        offsets = np.zeros((len(self._tracks), 2 * count))
        for column, name in enumerate(self.bones):
            bone = skeleton.index[name]
            end, below = skeleton.tails[bone], bone
            toward: dict[int, np.ndarray] = {bone: heads[bone]}  # where each bone carries the head
            while (parent := int(skeleton.parents[below])) >= 0:
                toward[parent] = heads[below]
                below = parent
            for index, track in enumerate(self._tracks):
                carrier = skeleton.index[track.bone]
                if carrier in toward:
                    start = heads[carrier]
                    offsets[index, column] = np.linalg.norm(toward[carrier] - start)
                    tail = end if carrier == bone else toward[carrier]
                    offsets[index, count + column] = np.linalg.norm(tail - start)
        return skeleton.scale * offsets

    def _target(self, index: int, bone: int, space: skeletons.BoneSpace) -> np.ndarray | None:
        """Return the samples that bring a bone where it shall be; None if that cannot be said."""
        track = self._tracks[index]
        if len(track.curves) < track.samples.shape[1] or track.prop == "scale":
            return None
        wanted = self._wanted[bone]
        if track.prop == "location":
            offset = wanted[:, :3, 3] - space.location[:, :3, 3]
            return np.linalg.solve(space.location[:, :3, :3], offset[..., None])[..., 0]
        inside = orthonormal(space.rotation[:, :3, :3]).swapaxes(1, 2)
        rotations = inside @ orthonormal(wanted[:, :3, :3])
        return rotation_samples(self._armature.pose.bones[track.bone], rotations, track.samples[0])

    def _set(self, track: Track, samples: np.ndarray) -> None:
        columns = self._channels.setdefault(track.bone, {})
        columns |= {(track.prop, index): column for index, column in enumerate(samples.T)}

    def _own_transforms(self, name: str) -> np.ndarray:
        bone = self._armature.pose.bones[name]
        return sampling.own_transforms(bone, self._channels.get(name, {}), len(self.reference))


class LinearBody(Body):
    """Rig with constraints, whose controls are taken for rigid handles of all that they move."""

    def __init__(
        self,
        armature: bpy.types.Object,
        tracks: Sequence[Track],
        transforms: dict[str, np.ndarray],
        feet: Container[str],
    ) -> None:
        """Read an armature (see `Body`)."""
        super().__init__(armature, tracks, transforms, feet)
        self._sum = np.zeros_like(self.reference)
        self._before = [track.samples for track in tracks]

    def settle(self, reduction: "Reduction", changed: set[int]) -> np.ndarray:
        """Return the joints in the world, to first order (see `Body`)."""
        for index in changed:
            moved = self._moves[index]
            before, now = self._displaced(index, self._before[index]), reduction.samples[index]
            self._sum[:, moved] += self._displaced(index, now) - before
            self._before[index] = now
        return self.reference + self._sum

    def _displaced(self, index: int, samples: np.ndarray) -> np.ndarray:
        """Return what a track's error moves its joints by, (frames, moved joints, 3)."""
        track = self._tracks[index]
        posed = self._transforms[track.bone]
        bone = self._armature.pose.bones[track.bone]
        own, changed = (_own_rotation(bone, track, values) for values in (track.samples, samples))
        axes = posed[:, :3, :3] @ own.swapaxes(1, 2)  # the space of the bone's own transform
        offsets = self.reference[:, self._moves[index]] - posed[:, None, :3, 3]
        if track.prop == "location":
            shift = (axes @ (samples - track.samples)[..., None])[:, None, :, 0]
            return np.broadcast_to(shift, offsets.shape)
        if track.prop == "scale":
            ratio = (samples - track.samples).mean(-1) / np.maximum(track.samples.mean(-1), 1e-6)
            return ratio[:, None, None] * offsets
        turn = axes @ (changed @ own.swapaxes(1, 2)) @ np.linalg.inv(axes)
        return offsets @ (turn - np.eye(3)).swapaxes(1, 2)


def errors(prop: str, target: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Return how far samples of a property are off, (frames,): radians, units or a ratio."""
    if prop == "rotation_quaternion":
        norms = np.maximum(np.linalg.norm(samples, axis=-1, keepdims=True), 1e-9)
        return 2 * np.linalg.norm(samples / norms - target, axis=-1)
    if prop == "rotation_axis_angle":
        angle = target[:, 0]
        turned = np.linalg.norm(samples[:, 1:] - target[:, 1:], axis=-1)
        return np.abs(samples[:, 0] - angle) + 2 * np.abs(np.sin(angle / 2)) * turned
    return np.linalg.norm(samples - target, axis=-1)


def joints_of(
    skeleton: Skeleton, transforms: dict[str, np.ndarray], bones: Sequence[str]
) -> np.ndarray:
    """Return the heads and then the tails of posed bones, (frames, 2 × bones, 3).

    Args:
        skeleton: with the lengths of the bones.
        transforms: bones in the world, (frames, 4, 4), by name.
        bones: names.
    """
    heads = np.stack([transforms[name][:, :3, 3] for name in bones], axis=1)
    lengths = [
        np.linalg.norm(skeleton.tails[index] - skeleton.rest[index][:3, 3])
        for index in (skeleton.index[name] for name in bones)
    ]
    along = [
        transforms[name][:, :3, 1] * length for name, length in zip(bones, lengths, strict=True)
    ]
    return np.concatenate((heads, heads + np.stack(along, axis=1)), axis=1)


def _measured(
    armature: bpy.types.Object, transforms: dict[str, np.ndarray], feet: Container[str]
) -> tuple[str, ...]:
    """Return the bones whose joints are measured: feet and those that deform, or all."""
    bones = [bone for bone in armature.data.bones if bone.name in transforms]
    if not any(bone.use_deform for bone in bones):
        return tuple(bone.name for bone in bones)
    return tuple(bone.name for bone in bones if bone.use_deform or bone.name in feet)


def _moved(
    armature: bpy.types.Object, tracks: Sequence[Track], bones: Sequence[str]
) -> np.ndarray:
    """Return which joints a track may move, (tracks, joints)."""
    needed = {name: rig_dependencies.needed(armature, {name}) for name in bones}
    moved = np.array([[track.bone in needed[name] for name in bones] for track in tracks], bool)
    return np.concatenate((moved, moved), axis=1)


def _own_rotation(bone: bpy.types.PoseBone, track: Track, samples: np.ndarray) -> np.ndarray:
    """Return the rotations of a track's bone, (frames, 3, 3); of a location none."""
    if not track.prop.startswith("rotation"):
        return np.tile(np.eye(3), (len(samples), 1, 1))
    return bone_curves.rotations(bone, track.prop, samples)
