"""Pins: joints set by hand in single frames, and the motion that the backend solves around them.

A pin's place is in its armature's space, in metres: there it stays when a result is moved as a
whole. What is solved reaches the curves as a change of each bone, so that keys that the animator
has edited stay edited, and frames outside of the span keep their keys.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import bpy
import numpy as np

from ..hund_backend.body.skeleton import BODY_JOINTS, JOINT_NAMES
from ..hund_backend.errors import ExitCode
from . import action, bone_names, bone_pose, curve_spans, job, quaternions, timeline
from .character import UNITS_PER_METER
from .job import JobError
from .resample import Resampler
from .retarget import sampling
from .retarget import skeleton as skeletons
from .retarget.channels import rotation_channels
from .retarget.errors import RetargetError

if TYPE_CHECKING:
    from ..hund_backend.reconstruction import Reconstruction

# Joints that the backend solves for: feet bend at ankles and balls only.
PINNABLE = tuple(
    name for name in (JOINT_NAMES[i] for i in BODY_JOINTS) if name[:-1] not in {"Foot", "Toes01"}
)
_UNCHANGED = 1e-6  # radians and metres: a smaller change is none


class Pin(NamedTuple):
    """Place of a joint in a frame."""

    frame: int  # of the scene
    joint: str  # one of PINNABLE
    place: tuple[float, float, float]  # armature space, metres


class Clip(NamedTuple):
    """A result's file in a scene's time."""

    path: Path
    reconstruction: "Reconstruction"
    timing: timeline.Timing


class Request(NamedTuple):
    """What the backend is asked, and what its answer will change."""

    message: dict[str, Any]  # without the paths of the motion and the answer
    base: dict[str, np.ndarray]  # rotations and root_translation of the clip's frames
    clip: Clip


def joint_of(bone: bpy.types.PoseBone) -> str | None:
    """Return the joint of a pose bone that can be pinned, or None."""
    armature = bone.id_data
    for joint, found in bone_names.find_bones(armature).items():
        if found.name == bone.name:
            return joint if joint in PINNABLE else None
    return None


def place_of(armature: bpy.types.Object, joint: str) -> tuple[float, float, float]:
    """Return where a joint is now, as it is posed, in armature space, metres."""
    bone = armature.pose.bones[bone_names.find_bones(armature)[joint].name]
    return tuple(bone.head / armature.get(UNITS_PER_METER, 1.0))


def in_armature(armature: bpy.types.Object, point: Sequence[float]) -> tuple[float, float, float]:
    """Return a point of the world in armature space, metres."""
    from mathutils import Vector

    local = armature.matrix_world.inverted() @ Vector(point)
    return tuple(local / armature.get(UNITS_PER_METER, 1.0))


def open_clip(path: Path, fps: float, start: int) -> Clip:
    """Open a result's file.

    Args:
        path: of the reconstruction.
        fps: of the scene when the motion was written.
        start: frame of the scene that shows the first frame.

    Raises:
        JobError: the file cannot be used.
    """
    reconstruction = job.load(path)
    return Clip(path, reconstruction, timeline.timing_of(reconstruction, fps, start))


def request(armature: bpy.types.Object, person: int, pins: Sequence[Pin], clip: Clip) -> Request:
    """Prepare the request for the frames around pins.

    Args:
        armature: of the person, with its action.
        person: index in the file.
        pins: of this person.
        clip: file and timing.

    Raises:
        JobError: the motion cannot be read, or a pin lies outside of the clip.
    """
    transforms = clip.reconstruction.world_from_camera
    rows = []
    for pin in pins:
        row = clip.timing.nearest(pin.frame)
        if row is None:
            raise JobError(
                f"The clip has no picture at frame {pin.frame}: remove this pin.",
                ExitCode.BAD_INPUT,
            )
        rows.append(row)
    places = [
        (np.array(pin.place) - transforms[row, :3, 3]) @ transforms[row, :3, :3]
        for pin, row in zip(pins, rows, strict=True)
    ]
    message = {
        "command": "pins",
        "reconstruction": str(clip.path.absolute()),
        "person": person,
        "pins": [
            {"frame": row, "joint": pin.joint, "place": place.tolist()}
            for pin, row, place in zip(pins, rows, places, strict=True)
        ],
    }
    pose = _pose_at(armature, clip.timing.frames)
    units = armature.get(UNITS_PER_METER, 1.0)
    rotations, translation = bone_pose.to_joints(armature, pose, transforms, units)
    base = {
        "rotations": rotations.astype(np.float32),
        "root_translation": translation.astype(np.float32),
    }
    return Request(message, base, clip)


def apply(armature: bpy.types.Object, asked: Request, answer: dict[str, np.ndarray]) -> int:
    """Key the answer on the armature, and return how many frames of the scene have new keys.

    Args:
        armature: of the person.
        asked: the request.
        answer: `frames`, `rotations` and `root_translation` of the backend.
    """
    rows, timing = answer["frames"], asked.clip.timing
    if not len(rows):
        return 0
    transforms = asked.clip.reconstruction.world_from_camera
    units = armature.get(UNITS_PER_METER, 1.0)
    solved = {name: values.copy() for name, values in asked.base.items()}
    for name, values in solved.items():
        values[rows] = answer[name]
    before, after = (
        bone_pose.from_joints(
            armature, each["rotations"], each["root_translation"], transforms, units
        )
        for each in (asked.base, solved)
    )
    turns = quaternions.multiply(before.rotations * [1, -1, -1, -1], after.rotations)
    turns *= np.where(turns[..., :1] < 0, -1, 1)
    shifts = after.locations - before.locations
    still = np.setdiff1d(np.arange(len(turns)), rows)
    turns[still], shifts[still] = [1, 0, 0, 0], 0
    keyed = np.zeros(len(timing.keys.frames), bool)
    for first, last in _runs(rows):
        inside = (timing.keys.frames >= timing.frames[first]) & (
            timing.keys.frames <= timing.frames[last]
        )
        _apply_span(armature, timing.keys, inside, turns, shifts)
        keyed |= inside
    return int(keyed.sum())


def _apply_span(
    armature: bpy.types.Object,
    keys: Resampler,
    inside: np.ndarray,
    turns: np.ndarray,
    shifts: np.ndarray,
) -> None:
    """Turn and shift the keys of one span.

    Args:
        armature: to key.
        keys: of the clip in the scene.
        inside: keys of the span, (keys,).
        turns: of the bones in their own axes, (frames, joints, 4).
        shifts: of the root bone's location, (frames, 3).
    """
    frames = keys.frames[inside]
    if not len(frames):
        return
    turns, shifts = keys.rotations(turns)[inside], keys.values(shifts)[inside]
    present = _pose_at(armature, frames)
    channels = action.channels_of(armature.animation_data)
    names = bone_names.joint_bone_names(armature)
    moved = quaternions.multiply(present.rotations, turns)
    limits = float(keys.frames[0]), float(keys.frames[-1])
    for joint, name in enumerate(names):
        if np.linalg.norm(turns[:, joint, 1:], axis=-1).max() <= _UNCHANGED:
            continue
        bone = armature.pose.bones[name]
        wanted = quaternions.to_matrices(moved[:, joint])
        rotation = rotation_channels(bone, wanted, use_locks=False)
        path = f'pose.bones["{bpy.utils.escape_identifier(name)}"].{rotation.path}'
        values = curve_spans.continued(channels, path, rotation.path, frames, rotation.values)
        for component in range(values.shape[1]):
            curve_spans.replace(channels, path, component, frames, values[:, component], limits)
    if np.abs(shifts).max() > _UNCHANGED:
        path = f'pose.bones["{bpy.utils.escape_identifier(names[0])}"].location'
        for component, column in enumerate((present.locations + shifts).T):
            curve_spans.replace(channels, path, component, frames, column, limits)


def _pose_at(armature: bpy.types.Object, frames: np.ndarray) -> bone_pose.BonePose:
    """Return the pose of the joints' bones by the armature's own curves.

    Raises:
        JobError: it has no action, or bones are missing.
    """
    names = bone_names.joint_bone_names(armature)
    animation = armature.animation_data
    if names is None:
        raise JobError(f"Bones of {armature.name} are missing: load the result again.")
    if animation is None or animation.action is None:
        raise JobError(
            f"{armature.name} has no action: choose its motion in the Action Editor.",
            ExitCode.BAD_INPUT,
        )
    if animation.use_tweak_mode or animation.action.library is not None:
        raise JobError(
            f"The action of {armature.name} cannot be edited: leave the NLA's tweak mode or make "
            "the action local.",
            ExitCode.BAD_INPUT,
        )
    try:
        skeleton = skeletons.read(armature)
    except RetargetError as error:
        raise JobError(str(error), ExitCode.BAD_INPUT) from error
    own = sampling.own_transforms_of(armature, skeleton, names, frames)
    shape = (len(frames), 4, 4)
    matrices = np.stack(
        [np.broadcast_to(own[skeleton.index[name]], shape) for name in names], axis=1
    )
    scales = np.linalg.norm(matrices[..., :3, :3], axis=-2, keepdims=True)
    rotations = quaternions.from_matrices(matrices[..., :3, :3] / np.maximum(scales, 1e-9))
    return bone_pose.BonePose(rotations, matrices[:, 0, :3, 3])


def _runs(rows: np.ndarray) -> list[tuple[int, int]]:
    """Return the first and last of each run of consecutive numbers."""
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    return [(int(part[0]), int(part[-1])) for part in parts]
