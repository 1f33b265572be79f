"""Stages: what the descent went through, shown on the characters without touching their motion.

While a stage is shown, bones hold its pose in the current frame, and the armature remembers what
they held before and what they were given. `lift` gives back the one wherever the other still
stands; what anybody changed since stays. As long as everybody lifts before frames change and files
are written, F-curves, files and renders are as if nothing had been shown.
"""

import functools
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import bpy
import numpy as np
from mathutils import Matrix, Quaternion

from ..hund_backend.body.skeleton import JOINT_NAMES
from ..hund_backend.reconstruction import Reconstruction
from . import job, pose, timeline

_BEFORE, _GIVEN = "hund_pose_before", "hund_pose_given"  # properties of an armature
_CHANNELS = {  # of a bone: where they stand in a row of numbers
    "location": slice(0, 3),
    "rotation_quaternion": slice(3, 7),
    "rotation_euler": slice(7, 10),
    "rotation_axis_angle": slice(10, 14),
    "scale": slice(14, 17),
}
_WIDTH = 17


class Source(NamedTuple):
    """Where the stages of a result are, and how the result was put into time."""

    path: Path
    fingerprint: str  # of what the file held then
    fps: float  # of the scene
    start: int  # frame of the scene that shows the first


def number(reconstruction: Reconstruction) -> int:
    """How many stages a reconstruction tells of, the start s_0 included; often none."""
    rotations, places = reconstruction.stage_rotations, reconstruction.stage_root_translation
    return 0 if rotations is None or places is None else rotations.shape[2]


def fingerprint(reconstruction: Reconstruction) -> str:
    """Tells the stages of one reconstruction from another's; empty where there are none."""
    if not number(reconstruction):
        return ""
    told = (reconstruction.times, reconstruction.stage_rotations)
    return (
        f"{functools.reduce(lambda code, array: zlib.crc32(array.tobytes(), code), told, 0):08x}"
    )


def obstacle(people: Mapping[int, bpy.types.Object], source: Source) -> str | None:
    """Why stages cannot be shown, in a sentence that fits into a sidebar."""
    try:
        _read(source)
    except job.FailedError as error:
        return str(error)
    return None if people else "Its characters have gone."


def show(
    people: Mapping[int, bpy.types.Object], source: Source, stage: int, scene: bpy.types.Scene
) -> None:
    """Pose people in the scene's current frame as a stage had them.

    Outside of the clip, and where somebody was not seen, the pose stays; so it does where the file
    cannot be used (see `obstacle`).

    Args:
        people: armatures by the person's index in the file.
        source: of their stages.
        stage: 0 is the start.
        scene: tells the frame.
    """
    try:
        told = _read(source)
    except job.FailedError:
        return
    timing = timeline.timing_of(told, source.fps, source.start)
    frame = timing.nearest(scene.frame_current_final)
    if frame is None:
        return
    now = slice(frame, frame + 1)
    for person, armature in people.items():
        if person < len(told.present) and told.present[person, frame]:
            rotations = told.stage_rotations[person, now, stage]
            place = told.stage_root_translation[person, now, stage]
            _give(armature, pose.in_bones(armature, rotations, place, told.world_from_camera[now]))


def lift(objects: Iterable[bpy.types.Object]) -> None:
    """Give bones back what they held before a stage was shown."""
    for armature in objects:
        if _BEFORE in armature:
            _take_back(armature)


def _read(source: Source) -> Reconstruction:
    """The file of a result, read once until it changes.

    Raises:
        FailedError: it cannot be used.
    """
    try:
        found = _read_once(source.path, source.path.stat().st_mtime_ns)
    except OSError as error:
        raise job.FailedError("Its file has gone.") from error
    if found is None or found[1] != source.fingerprint:
        raise job.FailedError("Its file holds something else now.")
    return found[0]


@functools.lru_cache(maxsize=8)
def _read_once(path: Path, changed: int) -> tuple[Reconstruction, str] | None:
    """A file with its fingerprint; nothing where it is damaged."""
    try:
        reconstruction = job.load(path)
    except job.FailedError:
        return None
    return reconstruction, fingerprint(reconstruction)


def _give(armature: bpy.types.Object, posed: pose.Pose) -> None:
    if not all(name in armature.pose.bones for name in JOINT_NAMES):
        return  # the user has made something else of it
    if _BEFORE in armature:
        _take_back(armature)
    before = _held(armature)
    for joint, name in enumerate(JOINT_NAMES):
        place = None if joint else posed.locations[0]
        turn = Quaternion(posed.rotations[0, joint])
        # Whatever the bone's rotation mode is.
        armature.pose.bones[name].matrix_basis = Matrix.LocRotScale(place, turn, None)
    armature[_BEFORE], armature[_GIVEN] = before.ravel(), _held(armature).ravel()


def _take_back(armature: bpy.types.Object) -> None:
    held = _held(armature)
    before, given = (np.array(armature.pop(key)).reshape(held.shape) for key in (_BEFORE, _GIVEN))
    for channel, span in _CHANNELS.items():
        still_stands = (held[:, span] == given[:, span]).all(axis=1)
        was_another = (before[:, span] != given[:, span]).any(axis=1)
        for joint in np.flatnonzero(still_stands & was_another):
            if bone := armature.pose.bones.get(JOINT_NAMES[joint]):
                setattr(bone, channel, before[joint, span])


def _held(armature: bpy.types.Object) -> np.ndarray:
    """What the joints' bones hold, (joints, channels); zeros for a bone that has gone."""
    bones = armature.pose.bones
    rows = {name: row for row, name in enumerate(bones.keys())}
    held = np.zeros((len(bones) + 1, _WIDTH))  # the last row is nobody's
    for channel, span in _CHANNELS.items():
        numbers = np.empty((len(bones), span.stop - span.start), np.float32)
        bones.foreach_get(channel, numbers.ravel())
        held[:-1, span] = numbers
    return held[[rows.get(name, -1) for name in JOINT_NAMES]]
