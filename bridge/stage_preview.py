"""Stage preview: shows the descent's stages on the characters without changing their motion.

While a stage is shown, the bones have its pose in the current frame, and the armature stores both
their transforms before and the transforms applied. `restore_pose` brings back the former wherever
the latter is unchanged; later edits by anybody are kept. As long as poses are restored before
frames change and files are written, F-curves, files and renders are as without a preview.
"""

import functools
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import bpy
import numpy as np
from mathutils import Matrix, Quaternion

from ..hund_backend.body.skeleton import JOINT_NAMES
from ..hund_backend.reconstruction import Reconstruction
from . import bone_names, bone_pose, job, paths, timeline
from .character import UNITS_PER_METER

_BEFORE, _APPLIED = "hund_pose_before", "hund_pose_given"  # custom properties of an armature
_CHANNELS = {  # of a bone: columns in a row of numbers
    "location": slice(0, 3),
    "rotation_quaternion": slice(3, 7),
    "rotation_euler": slice(7, 10),
    "rotation_axis_angle": slice(10, 14),
    "scale": slice(14, 17),
}
_NUM_COLUMNS = 17


class Source(NamedTuple):
    """File with the stages of a result, and the timing with which the result was written."""

    path: str  # may start with //
    fingerprint: str  # of the file's content when the result was written
    fps: float  # of the scene
    start: int  # frame of the scene that shows the first frame


def num_stages(reconstruction: Reconstruction) -> int:
    """Return the number of stages in a reconstruction, the start s_0 included; often 0."""
    rotations, positions = reconstruction.stage_rotations, reconstruction.stage_root_translation
    return 0 if rotations is None or positions is None else rotations.shape[2]


def fingerprint(reconstruction: Reconstruction) -> str:
    """Return a checksum that identifies a reconstruction's stages; empty if there are none."""
    if not num_stages(reconstruction):
        return ""
    checksum = 0
    for array in (reconstruction.times, reconstruction.stage_rotations):
        checksum = zlib.crc32(array.tobytes(), checksum)
    return f"{checksum:08x}"


def unavailable_reason(people: Mapping[int, bpy.types.Object], source: Source) -> str | None:
    """Return why stages cannot be shown, in a sentence short enough for the sidebar, or None."""
    try:
        _load(source)
    except job.JobError as error:
        return str(error)
    return None if people else "The characters are missing."


def show_stage(
    people: Mapping[int, bpy.types.Object], source: Source, stage: int, scene: bpy.types.Scene
) -> None:
    """Pose people in the scene's current frame as they were after a stage.

    The pose is kept outside of the clip, where a person is not present, and if the file cannot be
    used (see `unavailable_reason`).

    Args:
        people: armatures by the person's index in the file.
        source: of their stages.
        stage: 0 is the start.
        scene: gives the frame.
    """
    try:
        reconstruction = _load(source)
    except job.JobError:
        return
    timing = timeline.timing_of(reconstruction, source.fps, source.start)
    frame = timing.nearest(scene.frame_current_final)
    if frame is None:
        return
    frames = slice(frame, frame + 1)
    for person, armature in people.items():
        if person >= len(reconstruction.present) or not reconstruction.present[person, frame]:
            continue
        if names := bone_names.joint_bone_names(armature):  # else the user has removed bones
            posed = bone_pose.from_joints(
                armature,
                reconstruction.stage_rotations[person, frames, stage],
                reconstruction.stage_root_translation[person, frames, stage],
                reconstruction.world_from_camera[frames],
                armature.get(UNITS_PER_METER, 1.0),
            )
            _apply_pose(armature, names, posed)


def restore_poses(objects: Iterable[bpy.types.Object]) -> None:
    """Restore the pose that each armature had before a stage was shown."""
    for armature in objects:
        if _BEFORE in armature:
            _restore_pose(armature)


def _load(source: Source) -> Reconstruction:
    """Load the file of a result; it is read again only after it has changed.

    Raises:
        JobError: it cannot be used.
    """
    path = paths.resolve(source.path)
    try:
        loaded = _load_cached(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise job.JobError("The file is missing.") from error
    if loaded is None or loaded[1] != source.fingerprint:
        raise job.JobError("The file has changed: load it again.")
    return loaded[0]


@functools.lru_cache(maxsize=8)
def _load_cached(path: Path, modified_ns: int) -> tuple[Reconstruction, str] | None:
    """Load a file and its fingerprint; None if it is damaged."""
    try:
        reconstruction = job.load(path)
    except job.JobError:
        return None
    return reconstruction, fingerprint(reconstruction)


def _apply_pose(
    armature: bpy.types.Object, names: Sequence[str], posed: bone_pose.BonePose
) -> None:
    """Pose the joints' bones, which have these names, and store their transforms before."""
    if _BEFORE in armature:
        _restore_pose(armature)
    before = _bone_transforms(armature, names)
    for joint, name in enumerate(names):
        location = None if joint else posed.locations[0]
        rotation = Quaternion(posed.rotations[0, joint])
        # The matrix works for every rotation mode.
        armature.pose.bones[name].matrix_basis = Matrix.LocRotScale(location, rotation, None)
    after = _bone_transforms(armature, names)
    armature[_BEFORE], armature[_APPLIED] = before.ravel(), after.ravel()


def _restore_pose(armature: bpy.types.Object) -> None:
    bones = bone_names.find_bones(armature)
    names = [bones[joint].name if joint in bones else "" for joint in JOINT_NAMES]
    current = _bone_transforms(armature, names)
    before, applied = (
        np.array(armature.pop(key)).reshape(current.shape) for key in (_BEFORE, _APPLIED)
    )
    for channel, columns in _CHANNELS.items():
        is_unedited = (current[:, columns] == applied[:, columns]).all(axis=1)
        was_changed = (before[:, columns] != applied[:, columns]).any(axis=1)
        for joint in np.flatnonzero(is_unedited & was_changed):
            if bone := armature.pose.bones.get(names[joint]):
                setattr(bone, channel, before[joint, columns])


def _bone_transforms(armature: bpy.types.Object, names: Sequence[str]) -> np.ndarray:
    """Read bones, (names, columns); zeros for a missing bone."""
    bones = armature.pose.bones
    rows = {name: row for row, name in enumerate(bones.keys())}
    transforms = np.zeros((len(bones) + 1, _NUM_COLUMNS))  # the last row is for missing bones
    for channel, columns in _CHANNELS.items():
        values = np.empty((len(bones), columns.stop - columns.start), np.float32)
        bones.foreach_get(channel, values.ravel())
        transforms[:-1, columns] = values
    return transforms[[rows.get(name, -1) for name in names]]
