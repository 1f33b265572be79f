"""Shots: a clip with cuts has a camera and a timeline marker for each shot.

A marker binds the camera of its shot, so that Blender changes cameras where the clip does. Markers
cannot be marked in every Blender, so that the scene stores the names and frames that they were made
with: a marker is the result's as long as two of name, frame and camera are what they were. All
others are the user's.

A clip of one shot has its one camera and no markers.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import bpy
import numpy as np

from ..hund_backend.reconstruction import LAYOUT, Reconstruction
from . import ownership, timeline
from .resample import Resampler

_MARKERS = "hund_markers"  # custom property of a scene: names and frames of markers, by result
_CAMERA = re.compile(r"Camera(?: (\d+))?")  # part of a camera


class Shot(NamedTuple):
    """Frames between two cuts."""

    number: int  # from 1
    rows: slice  # of the reconstruction's frames
    keys: slice  # of the keys in the scene
    frame: int  # of the scene, at which it begins

    @property
    def part(self) -> str:
        """Name of its camera within the result."""
        return camera_part(self.number)


def camera_part(number: int) -> str:
    """Return the name within the result of the camera of a shot, which counts from 1."""
    return "Camera" if number == 1 else f"Camera {number}"


def marker_name(number: int) -> str:
    """Return the name of the marker of a shot, which counts from 1."""
    return f"Shot {number}"


def shots_of(reconstruction: Reconstruction, timing: timeline.Timing) -> list[Shot]:
    """Return the shots of a clip that show in a scene, in order.

    Args:
        reconstruction: says where shots begin.
        timing: of its frames in the scene. A shot that lies between two frames is left out.
    """
    rows = [0, *timeline.cuts(reconstruction), len(timing.frames)]
    keys = [0, *timing.keys.cuts.tolist(), len(timing.keys.frames)]
    spans = [
        (slice(*rows[i : i + 2]), slice(*keys[i : i + 2]), keys[i] < keys[i + 1])
        for i in range(len(rows) - 1)
    ]
    shown = [(shot_rows, shot_keys) for shot_rows, shot_keys, is_shown in spans if is_shown]
    return [
        Shot(number, shot_rows, shot_keys, math.ceil(timing.keys.frames[shot_keys.start]))
        for number, (shot_rows, shot_keys) in enumerate(shown, start=1)
    ]


def frames_of(reconstruction: Reconstruction, shot: Shot) -> Reconstruction:
    """Return the part of a reconstruction that is one shot."""
    arrays = {
        name: getattr(reconstruction, name)[(slice(None),) * axes.index("F") + (shot.rows,)]
        for name, (axes, _) in LAYOUT.items()
        if "F" in axes
    }
    return replace(
        reconstruction,
        **arrays,
        stage_rotations=None,
        stage_root_translation=None,
        shots=arrays["frame_numbers"][:1],
    )


def keys_of(keys: Resampler, shot: Shot) -> Resampler:
    """Return the keys of one shot, for the values of its own frames."""
    return Resampler(
        frames=keys.frames[shot.keys],
        source_frames=keys.source_frames[shot.rows],
        before=keys.before[shot.keys] - shot.rows.start,
        after=keys.after[shot.keys] - shot.rows.start,
        fraction=keys.fraction[shot.keys],
        cuts=np.array([], np.int64),
    )


def cameras(result: str) -> dict[int, bpy.types.Object]:
    """Return the cameras of a result by the numbers of their shots, without deleted ones."""
    found = {}
    for (kind, part), datablock in ownership.datablocks(result).items():
        match = _CAMERA.fullmatch(part)
        if kind == "OBJECT" and match and datablock.users_scene:
            found[int(match[1] or 1)] = datablock
    return dict(sorted(found.items()))


def camera_at(scene: bpy.types.Scene, result: str, frame: int) -> bpy.types.Object | None:
    """Return the camera of a result's shot in a frame, else the first one that is left."""
    own = cameras(result)
    begun = [n for n, marker in markers(scene, result).items() if marker.frame <= frame]
    return own.get(max(begun, default=1)) or next(iter(own.values()), None)


def markers(scene: bpy.types.Scene, result: str) -> dict[int, bpy.types.TimelineMarker]:
    """Return the markers of a result in a scene by the numbers of their shots."""
    recorded = _recorded(scene, result)
    own, found = cameras(result) if recorded else {}, {}
    for number, (name, frame) in enumerate(recorded, start=1):
        best, most = None, 1
        for marker in scene.timeline_markers:
            is_bound = marker.camera is not None and marker.camera == own.get(number)
            if marker.camera and not is_bound and ownership.is_owned(marker.camera):
                continue  # of another shot or result
            same = (marker.name == name) + (marker.frame == frame) + is_bound
            if same > most:
                best, most = marker, same
        if best:
            found[number] = best
    return found


def add_markers(scene: bpy.types.Scene, result: str, shots: Sequence[Shot]) -> None:
    """Add the markers of a new result; they bind no cameras yet (see `bind`)."""
    if len(shots) > 1:
        for shot in shots:
            scene.timeline_markers.new(marker_name(shot.number), frame=shot.frame)
        _record(scene, result, shots)


def renew_markers(scene: bpy.types.Scene, result: str, shots: Sequence[Shot]) -> None:
    """Move the markers of a result whose motion was written again, and add those of new shots.

    One that the user has moved stays where it is, and one that the user has deleted stays deleted.
    """
    recorded, own = _recorded(scene, result), markers(scene, result)
    shots = shots if len(shots) > 1 else ()
    is_bound = not recorded or any(marker.camera for marker in own.values())
    for number, marker in own.items():
        if marker.frame != recorded[number - 1][1]:
            continue
        if number <= len(shots):
            marker.frame = shots[number - 1].frame
        else:
            scene.timeline_markers.remove(marker)
    own_cameras = cameras(result)
    for shot in shots[len(recorded) :]:
        marker = scene.timeline_markers.new(marker_name(shot.number), frame=shot.frame)
        marker.camera = own_cameras.get(shot.number) if is_bound else None
    _record(scene, result, shots)


def bind(scene: bpy.types.Scene, result: str) -> None:
    """Let a result's markers change the scene's camera, instead of those of other results.

    A marker that the user has bound to another camera keeps it.
    """
    for other in ownership.result_collections(scene):
        if other != result:
            own = set(cameras(other).values())
            for marker in markers(scene, other).values():
                if marker.camera in own:
                    marker.camera = None
    own = cameras(result)
    for number, marker in markers(scene, result).items():
        marker.camera = marker.camera or own.get(number)


def remove_markers(scene: bpy.types.Scene, result: str) -> None:
    """Remove the markers of a result, which may be gone."""
    for marker in markers(scene, result).values():
        scene.timeline_markers.remove(marker)
    _record(scene, result, ())


def marker_states(result: str) -> dict[str, tuple[str, int, str]]:
    """Return what the user may change of each marker of a result, by the name it was made with.

    That is its name, its frame, and the camera that it binds if that is none of the result's.
    """
    states = {}
    for scene in bpy.data.scenes:
        if result not in ownership.result_collections(scene):
            continue  # a copy of the scene
        for number, marker in markers(scene, result).items():
            is_users = marker.camera is not None and not ownership.is_owned(marker.camera)
            camera = marker.camera.name if is_users else ""
            states[marker_name(number)] = (marker.name, marker.frame, camera)
    return states


def _recorded(scene: bpy.types.Scene, result: str) -> list[tuple[str, int]]:
    entries = json.loads(scene.get(_MARKERS, "{}")).get(result, ())
    return [(name, frame) for name, frame in entries]


def _record(scene: bpy.types.Scene, result: str, shots: Sequence[Shot]) -> None:
    content = json.loads(scene.get(_MARKERS, "{}"))
    content.pop(result, None)
    if shots:
        content[result] = [(marker_name(shot.number), shot.frame) for shot in shots]
    if content:
        scene[_MARKERS] = json.dumps(content)
    else:
        scene.pop(_MARKERS, None)
