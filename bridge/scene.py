"""Scene: writes a Reconstruction as a collection with characters and a camera."""

from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ..hund_backend.body.file import load_body_file
from ..hund_backend.body.skeleton import JOINT_NAMES
from ..hund_backend.errors import BadInputError, ExitCode
from ..hund_backend.reconstruction import Reconstruction
from ..hund_backend.sources import clip_name
from . import action, camera, character, footage, ownership, timeline
from .job import JobError

_MAX_NAME_BYTES = 40  # of the clip's name in datablocks' names; Blender 4 allows 63 in all
_STARTUP = {"Cube": "MESH", "Light": "LIGHT", "Camera": "CAMERA"}  # Blender's startup scene
_STARTUP_WITHOUT_CUBE = {name: kind for name, kind in _STARTUP.items() if name != "Cube"}


@dataclass(frozen=True, kw_only=True)
class WrittenScene:
    """Datablocks of a reconstruction in a scene."""

    collection: bpy.types.Collection
    people: tuple[bpy.types.Object, ...]
    """Armatures, in the order of the reconstruction; each has its mesh as the only child."""
    camera: bpy.types.Object
    timing: timeline.Timing
    confidence: float  # 0…1, mean over the people while present

    @property
    def frames(self) -> int:
        """Number of frames of the clip."""
        return len(self.timing.frames)

    @property
    def name(self) -> str:
        """Name of the clip, numbered if there are several results of it."""
        return self.collection.name


def write(
    context: bpy.types.Context,
    reconstruction: Reconstruction,
    *,
    clip: Path | None = None,
    replace: bool = True,
    match_scene: bool = False,
    start_frame: int = 1,
    use_twist: bool = False,
) -> WrittenScene:
    """Write a reconstruction into the scene: one collection with its people and its camera.

    Everything is built outside of the scene first. If that fails, nothing of it is kept and
    nothing is replaced.

    Args:
        context: gives the scene.
        reconstruction: what to write.
        clip: the collection is named after it, and it is shown behind the camera.
        replace: remove the latest result of the same clip. False: keep both.
        match_scene: set frame rate, frame range, resolution and camera of the scene to the clip's.
            A scene with nothing but Blender's startup objects is always matched.
        start_frame: frame of the scene that shows the first frame of the reconstruction.
        use_twist: the twist bones deform the mesh. Forearms and shoulders twist without pinching,
            but the surface is not exactly the backend's.

    Raises:
        JobError: the reconstruction has another skeleton, or the body file is missing.
    """
    if reconstruction.joint_names != JOINT_NAMES:
        raise JobError(
            "This file has another skeleton: reconstruct the clip again.", ExitCode.BAD_INPUT
        )
    scene = context.scene
    name = clip_name(clip) if clip else _source_name(reconstruction)
    clip_id = str(clip.resolve()) if clip else name
    previous = ownership.latest_collection(scene, clip_id) if replace else None
    should_match = match_scene or _has_only_startup_objects(scene, previous, clip_id)
    fps = reconstruction.fps if should_match else timeline.fps_of(scene)
    timing = timeline.timing_of(reconstruction, fps, start_frame)
    with ownership.collect_new_datablocks() as new_datablocks:
        written = _build(name, clip, reconstruction, timing, use_twist)
    if previous:
        ownership.replace(previous, written.collection, clip_id)
    else:
        scene.collection.children.link(written.collection)
    ownership.claim(new_datablocks, written.collection, clip_id)
    if should_match:
        timeline.match(scene, timing)
        camera.match(scene, reconstruction)
    footage.fit(written.camera, scene, reconstruction)
    if should_match or scene.camera is None:
        scene.camera = written.camera
    return written


def _build(
    name: str,
    clip: Path | None,
    reconstruction: Reconstruction,
    timing: timeline.Timing,
    use_twist: bool,
) -> WrittenScene:
    """Make all datablocks, outside of all scenes."""
    short_name = name.encode()[:_MAX_NAME_BYTES].decode(errors="ignore").strip()
    name = ownership.TEMPORARY_PREFIX + short_name
    collection = bpy.data.collections.new(name)
    people = _build_people(name, reconstruction, timing.frames, use_twist)
    motion = action.Motion(f"{name} Camera")
    clip_camera = camera.create(f"{name} Camera", reconstruction, timing.frames, motion)
    if clip:
        footage.attach(clip_camera, clip, reconstruction, timing, motion)
    person_objects = (obj for person in people for obj in (person.armature, person.mesh))
    for obj in (*person_objects, clip_camera):
        collection.objects.link(obj)
    confidence = reconstruction.joint_confidence[reconstruction.present]
    return WrittenScene(
        collection=collection,
        people=tuple(person.armature for person in people),
        camera=clip_camera,
        timing=timing,
        confidence=float(confidence.mean()) if len(confidence) else 0.0,
    )


def _build_people(
    name: str, reconstruction: Reconstruction, frames: np.ndarray, use_twist: bool
) -> list[character.Character]:
    try:
        body = load_body_file()
    except BadInputError as error:
        raise JobError(str(error), ExitCode.BAD_INPUT) from error
    edit_scene = bpy.data.scenes.new(name)
    people = []
    for index, betas in enumerate(reconstruction.betas):
        person_name = f"{name} Person {index + 1}"
        person = character.create(person_name, body, betas, edit_scene, use_twist=use_twist)
        action.write_person(person, reconstruction, index, frames)
        people.append(person)
    bpy.data.scenes.remove(edit_scene)
    return people


def _has_only_startup_objects(
    scene: bpy.types.Scene, previous: bpy.types.Collection | None, clip_id: str
) -> bool:
    """Return whether a scene has no objects of the user.

    It is empty, or has Blender's startup objects with or without the cube, which most users
    delete first.
    """
    others = [obj for obj in scene.objects if not (previous and ownership.is_owned(obj, clip_id))]
    if not others:
        return True
    types = {obj.name: obj.type for obj in others}
    is_animated = any(obj.animation_data for obj in others)
    return not is_animated and types in (_STARTUP, _STARTUP_WITHOUT_CUBE)


def _source_name(reconstruction: Reconstruction) -> str:
    """Return the clip's name from the reconstruction's provenance."""
    source = reconstruction.provenance.get("source")
    name = source.get("name") if isinstance(source, dict) else source
    return Path(str(name or "Reconstruction")).stem
