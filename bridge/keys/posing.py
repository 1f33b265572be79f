"""Posing: bones of a plain skeleton in the world for given samples of tracks."""

from collections.abc import Mapping, Sequence

import bpy
import numpy as np

from ..retarget import sampling
from ..retarget import skeleton as skeletons
from ..retarget.channels import rotation_channels
from ..retarget.rotations import orthonormal
from ..retarget.skeleton import BoneSpace, Skeleton
from .bone_curves import Track


class Poser:
    """Pose of some bones, which can be changed from the hips outwards."""

    def __init__(
        self,
        armature: bpy.types.Object,
        skeleton: Skeleton,
        tracks: Sequence[Track],
        samples: Sequence[np.ndarray],
    ) -> None:
        """Take samples, (frames, components) each, for all tracks of an armature."""
        self._armature, self._skeleton = armature, skeleton
        self.frames = len(samples[0])
        self._channels: dict[str, dict[tuple[str, int], np.ndarray]] = {}
        for track, values in zip(tracks, samples, strict=True):
            self.set(track, values)

    def set(self, track: Track, samples: np.ndarray) -> None:
        """Give a track other samples."""
        columns = self._channels.setdefault(track.bone, {})
        columns |= {(track.prop, index): column for index, column in enumerate(samples.T)}

    def world(self, name: str) -> np.ndarray:
        """Return a bone in the world, (frames, 4, 4)."""
        posed = self._posed(name)[self._skeleton.index[name]]
        return self._skeleton.world @ np.broadcast_to(posed, (self.frames, 4, 4))

    def space(self, name: str) -> BoneSpace:
        """Return the space of a bone's own transform, below its posed parent."""
        bone = self._skeleton.index[name]
        parent = int(self._skeleton.parents[bone])
        above = self._posed(self._skeleton.names[parent])[parent] if parent >= 0 else None
        return skeletons.bone_space(self._skeleton, bone, above)

    def rotate(self, track: Track, rotations: np.ndarray) -> np.ndarray:
        """Give a bone rotations in the world, (frames, 3, 3), and return its track's samples."""
        inside = orthonormal(self.space(track.bone).rotation[:, :3, :3]).swapaxes(1, 2)
        own = inside @ self._skeleton.world_rotation.T @ rotations
        samples = rotation_samples(self._armature.pose.bones[track.bone], own, track.samples[0])
        self.set(track, samples)
        return samples

    def _posed(self, name: str) -> Mapping[int, np.ndarray]:
        needed = self._skeleton.with_ancestors([name])
        own = {
            bone: sampling.own_transforms(
                self._armature.pose.bones[self._skeleton.names[bone]],
                self._channels.get(self._skeleton.names[bone], {}),
                self.frames,
            )
            for bone in needed
        }
        return skeletons.pose(self._skeleton, own, needed)


def rotation_samples(
    bone: bpy.types.PoseBone, rotations: np.ndarray, near: np.ndarray
) -> np.ndarray:
    """Return rotations (frames, 3, 3) in a bone's own mode, beginning near some values."""
    values = rotation_channels(bone, rotations, use_locks=False).values
    if bone.rotation_mode == "QUATERNION":
        return -values if values[0] @ near < 0 else values
    turns = 2 * np.pi * np.rint((near - values[0]) / (2 * np.pi))
    if bone.rotation_mode == "AXIS_ANGLE":
        turns[1:] = 0
    return values + turns
