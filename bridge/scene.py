"""The scene: a Reconstruction becomes a collection with characters and a camera, or nothing."""

from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ..hund_backend.body.file import load_body_file
from ..hund_backend.body.skeleton import JOINT_NAMES
from ..hund_backend.errors import BadInputError
from ..hund_backend.reconstruction import Reconstruction
from ..hund_backend.sources import clip_name
from . import action, belongings, camera, character, footage, timeline
from .job import BAD_INPUT, FailedError

_LONGEST_NAME = 40  # bytes of the clip's name in datablocks' names; Blender 4 has room for 63
_STARTUP = {"Cube": "MESH", "Light": "LIGHT", "Camera": "CAMERA"}  # Blender's own first scene
_CUBE_GONE = {name: kind for name, kind in _STARTUP.items() if name != "Cube"}


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was put into a scene."""

    collection: bpy.types.Collection
    people: tuple[bpy.types.Object, ...]
    """Their armatures, in the order of the reconstruction; a person's mesh is the only child."""
    camera: bpy.types.Object
    timing: timeline.Timing
    confidence: float  # 0…1, mean over the people where they were seen

    @property
    def frames(self) -> int:
        """Of the clip."""
        return len(self.timing.frames)

    @property
    def name(self) -> str:
        """The clip's, numbered if there are several results of it."""
        return self.collection.name


def write(
    context: bpy.types.Context,
    reconstruction: Reconstruction,
    *,
    clip: Path | None = None,
    replace: bool = True,
    match_scene: bool = False,
    start_frame: int = 1,
    is_twisted: bool = False,
) -> Written:
    """Put a reconstruction into the scene: one collection with its people and its camera.

    Everything is built aside first. If that fails, nothing of it stays and nothing was replaced.

    Args:
        context: whose scene it is put into.
        reconstruction: what to write.
        clip: the collection is named after it, and it is shown behind the camera.
        replace: the last result of the same clip makes room. False: both stay.
        match_scene: frame rate, frame range, picture size and camera of the scene become the
            clip's. In a scene that holds nothing but Blender's startup objects they always do.
        start_frame: of the scene, where the first frame of the reconstruction stands.
        is_twisted: twist bones carry skin. Forearms and shoulders turn without pinching, but the
            surface is not exactly the backend's.

    Raises:
        FailedError: the reconstruction is of another skeleton, or the body file is missing.
    """
    if reconstruction.joint_names != JOINT_NAMES:
        raise FailedError(
            "This file is of another skeleton: reconstruct the clip again.", BAD_INPUT
        )
    scene = context.scene
    name = clip_name(clip) if clip else _source_name(reconstruction)
    identity = str(clip.resolve()) if clip else name
    earlier = belongings.newest(scene, identity) if replace else None
    is_matching = match_scene or _is_free(scene, earlier, identity)
    fps = reconstruction.fps if is_matching else timeline.fps_of(scene)
    timing = timeline.timing_of(reconstruction, fps, start_frame)
    with belongings.aside() as made:
        written = _build(name, clip, reconstruction, timing, is_twisted)
    if earlier:
        belongings.replace(earlier, written.collection, identity)
    else:
        scene.collection.children.link(written.collection)
    belongings.settle(made, written.collection, identity)
    if is_matching:
        timeline.match(scene, timing)
        camera.match(scene, reconstruction)
    footage.fit(written.camera, scene, reconstruction)
    if is_matching or scene.camera is None:
        scene.camera = written.camera
    return written


def _build(
    name: str,
    clip: Path | None,
    reconstruction: Reconstruction,
    timing: timeline.Timing,
    is_twisted: bool,
) -> Written:
    """Make everything, outside of all scenes."""
    name = belongings.ASIDE + name.encode()[:_LONGEST_NAME].decode(errors="ignore").strip()
    collection = bpy.data.collections.new(name)
    people = _build_people(name, reconstruction, timing.frames, is_twisted)
    motion = action.Motion(f"{name} Camera")
    view = camera.create(f"{name} Camera", reconstruction, timing.frames, motion)
    if clip:
        footage.attach(view, clip, reconstruction, timing, motion)
    for obj in (*(obj for person in people for obj in (person.armature, person.mesh)), view):
        collection.objects.link(obj)
    confidence = reconstruction.joint_confidence[reconstruction.present]
    return Written(
        collection=collection,
        people=tuple(person.armature for person in people),
        camera=view,
        timing=timing,
        confidence=float(confidence.mean()) if len(confidence) else 0.0,
    )


def _build_people(
    name: str, reconstruction: Reconstruction, frames: np.ndarray, is_twisted: bool
) -> list[character.Character]:
    try:
        body = load_body_file()
    except BadInputError as error:
        raise FailedError(str(error), BAD_INPUT) from error
    workshop = bpy.data.scenes.new(name)
    people = []
    for person, betas in enumerate(reconstruction.betas):
        names = f"{name} Person {person + 1}"
        made = character.create(names, body, betas, workshop, is_twisted=is_twisted)
        action.write_person(made, reconstruction, person, frames)
        people.append(made)
    bpy.data.scenes.remove(workshop)
    return people


def _is_free(scene: bpy.types.Scene, earlier: bpy.types.Collection | None, clip: str) -> bool:
    """Whether a scene holds nothing of the user's.

    It is empty, or as Blender starts with it; the cube may be gone, as it is with most people.
    """
    others = [obj for obj in scene.objects if not (earlier and belongings.is_ours(obj, clip))]
    if not others:
        return True
    found = {obj.name: obj.type for obj in others}
    is_animated = any(obj.animation_data for obj in others)
    return not is_animated and found in (_STARTUP, _CUBE_GONE)


def _source_name(reconstruction: Reconstruction) -> str:
    """What the reconstruction itself says of its clip."""
    source = reconstruction.provenance.get("source")
    name = source.get("name") if isinstance(source, dict) else source
    return Path(str(name or "Reconstruction")).stem
