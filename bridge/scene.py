"""Scene: writes a Reconstruction as a collection with characters and a camera for each shot."""

from dataclasses import dataclass, replace
from pathlib import Path

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ..hund_backend.body.file import load_body_file
from ..hund_backend.body.skeleton import BODY_JOINTS, JOINT_NAMES
from ..hund_backend.errors import BadInputError, ExitCode
from ..hund_backend.reconstruction import Reconstruction
from ..hund_backend.sources import clip_name
from . import (
    action,
    backdrop,
    bone_shapes,
    camera,
    character,
    edits,
    floor,
    footage,
    lighting,
    matching,
    ownership,
    replacement,
    shots,
    startup,
    texts,
    timeline,
    world,
)
from .face import sound
from .job import JobError

_CHANGES_KEPT = {  # what became of the user's changes
    replacement.Existing.ADD: "{name} is kept with your changes: {changes}.",
    replacement.Existing.MOTION: "Only the motion was replaced; your changes are kept: {changes}.",
    replacement.Existing.ALL: "Your changes are gone: {changes}.",
}


@dataclass(frozen=True, kw_only=True)
class WrittenScene:
    """Datablocks of a reconstruction in a scene."""

    collection: bpy.types.Collection
    people: tuple[bpy.types.Object, ...]
    """Armatures, in the order of the reconstruction, without those that the user has deleted."""
    cameras: tuple[bpy.types.Object, ...]
    """One for each shot, in order, without those that the user has deleted."""
    shots: tuple[shots.Shot, ...]
    timing: timeline.Timing
    confidence: float  # 0…1, mean over the people while present
    kept: tuple[str, ...] = ()  # sentences for the user: what became of the changes made by hand

    @property
    def camera(self) -> bpy.types.Object | None:
        """Camera of the first shot; None: the user has deleted it."""
        return next(iter(self.cameras), None)

    @property
    def frames(self) -> int:
        """Number of frames of the clip."""
        return len(self.timing.frames)

    @property
    def name(self) -> str:
        """Name of the result: the clip's, numbered if there are several results of it."""
        return ownership.result_name(self.collection)


@dataclass(frozen=True, kw_only=True)
class EditedResult:
    """A previous result that the user has changed."""

    name: str
    changes: tuple[str, ...]  # each in a few words
    can_get_motion: bool  # False: bones are missing


def write(
    context: bpy.types.Context,
    reconstruction: Reconstruction,
    *,
    clip: Path | None = None,
    existing: str = replacement.Existing.AUTO,
    result: str = "",
    match_scene: bool = True,
    start_frame: int = 1,
    use_subframes: bool = False,
    behind: backdrop.Backdrop = "footage",
    use_twist: bool = False,
    rest: str = "A",
    one_action: bool = False,
    use_sound: bool = True,
) -> WrittenScene:
    """Write a reconstruction into the scene: one collection with its people and its cameras.

    A clip with cuts gets a marker in the timeline at the start of each shot.

    Everything is built outside of the scene first. If that fails, nothing of it is kept and
    nothing is replaced.

    Args:
        context: gives the scene.
        reconstruction: what to write.
        clip: the collection is named after it, and it is shown behind the camera.
        existing: what becomes of the clip's previous result (see `replacement.Existing`).
        result: name of the previous result, if it is not the clip's latest one.
        match_scene: set frame rate, frame range, resolution and camera of the scene to the clip's
            (see `matching.match`). If the scene has nothing of the user's, what it lacks for a
            render is added, too: light and the backdrop. False: the scene gets nothing but the
            collection, markers of shots, and a camera if it has none.
        start_frame: frame of the scene that shows the first frame of the reconstruction.
        use_subframes: key the motion at the clip's own frames also where they lie between frames
            of the scene. False: resample it to whole frames.
        behind: what renders of a scene with nothing of the user's show behind the people.
        use_twist: the twist bones deform the mesh. Forearms and shoulders twist without pinching,
            but the surface is not exactly the backend's.
        rest: rest pose of the bones, one of `rest_pose.RESTS`. Poses and skin do not depend on it.
            People whose motion alone is replaced keep theirs.
        one_action: animate all people and cameras by slots of one action, where Blender has slots
            (4.4 and later). False: each person and each camera has an action. What is replaced by
            its motion alone keeps its actions.
        use_sound: lay the clip's sound into the scene's sequencer.

    Raises:
        JobError: the reconstruction has another skeleton, the body file is missing, or the motion
            alone cannot be replaced.
    """
    if reconstruction.joint_names != JOINT_NAMES:
        raise JobError(
            "This file has another skeleton: reconstruct the clip again.", ExitCode.BAD_INPUT
        )
    scene = context.scene
    name = clip_name(clip) if clip else _source_name(reconstruction)
    clip_id = clip_identity(clip, reconstruction)
    tracks = reconstruction.track_ids.tolist()
    previous = find_previous(scene, clip_id, result)
    changes = edits.changes(previous) if previous else []
    choice = replacement.choose(existing, previous, tracks, changes)
    is_renewed = choice == replacement.Existing.MOTION
    floor_height = floor.chosen_height(None if choice == replacement.Existing.ADD else previous)
    match_scene = match_scene and not is_renewed
    is_users = not (match_scene and startup.is_startup(scene))
    fps = reconstruction.fps if match_scene else timeline.fps_of(scene)
    timing = timeline.timing_of(reconstruction, fps, start_frame, use_subframes=use_subframes)
    units_per_meter = world.units_per_meter(scene)
    if choice == replacement.Existing.MOTION:
        rest = replacement.rest_of(previous)
    rig = character.RigOptions(use_twist=use_twist, rest=rest)
    with ownership.collect_new_datablocks() as new_datablocks:
        is_shared = one_action and action.HAS_SLOTS and choice != replacement.Existing.MOTION
        written, people = _build(
            name, clip, reconstruction, timing, units_per_meter, rig, is_shared=is_shared
        )
        is_removed = choice == replacement.Existing.ALL
        if not is_users:
            _add_light(scene, written, previous if is_removed else None, units_per_meter)
    if is_renewed:
        fresh = replacement.Fresh(
            collection=written.collection,
            people=people,
            shots=written.shots,
            cameras=written.cameras,
            datablocks=new_datablocks,
            write_motion=lambda person, index, motion: action.write_person(
                person, reconstruction, index, timing.keys, motion
            ),
        )
        written = _renew(scene, written, previous, fresh, clip_id, tracks, changes)
    else:
        _add(scene, written, previous if is_removed else None, new_datablocks, name, clip_id)
    floor.place(
        written.collection, reconstruction.world_from_camera, floor_height, units_per_meter
    )
    if match_scene:
        matching.match(scene, matching.clip_format(reconstruction), start_frame)
    if clip and use_sound:
        sound.attach(scene, clip, clip_id, reconstruction, timing)
    for shot_camera in written.cameras:
        footage.fit(shot_camera, scene, reconstruction)
    if match_scene or scene.camera is None:
        shots.bind(scene, written.name)
        scene.camera = shots.camera_at(scene, written.name, scene.frame_current)
    if not is_users and not backdrop.has_compositor(scene):
        backdrop.set_up(scene, written.camera, written.name, behind)
    if not is_renewed:
        parts = {
            ownership.part_of(person): t for person, t in zip(written.people, tracks, strict=True)
        }
        edits.record(written.collection, parts)
    if changes:
        name = ownership.result_name(previous) if not is_removed else written.name
        summary = edits.summary(changes)
        sentence = texts.fill(rpt_(_CHANGES_KEPT[choice]), name=name, changes=summary)
        written = replace(written, kept=(sentence, *written.kept))
    return written


def find_previous(
    scene: bpy.types.Scene, clip_id: str, result: str = ""
) -> bpy.types.Collection | None:
    """Return the collection of a clip's result: the named one, else the latest."""
    collections = ownership.result_collections(scene, clip_id)
    return collections.get(result) or next(reversed(collections.values()), None)


def edited_result(
    scene: bpy.types.Scene, reconstruction: Reconstruction, clip: Path | None, result: str = ""
) -> EditedResult | None:
    """Return a clip's previous result if the user has changed it.

    Args:
        scene: contains it.
        reconstruction: is about to be written.
        clip: that it was made from.
        result: name of the previous result, if it is not the clip's latest one.
    """
    previous = find_previous(scene, clip_identity(clip, reconstruction), result)
    changes = edits.changes(previous) if previous else []
    if not changes:
        return None
    tracks = reconstruction.track_ids.tolist()
    return EditedResult(
        name=ownership.result_name(previous),
        changes=tuple(edits.descriptions(changes)),
        can_get_motion=not replacement.people_without_bones(previous, tracks),
    )


def clip_identity(clip: Path | None, reconstruction: Reconstruction) -> str:
    """Return what identifies the clip of a reconstruction in a file."""
    return str(clip.resolve()) if clip else _source_name(reconstruction)


def _add(
    scene: bpy.types.Scene,
    written: WrittenScene,
    previous: bpy.types.Collection | None,
    new_datablocks: set[bpy.types.ID],
    name: str,
    clip_id: str,
) -> None:
    """Add a new result to a scene, in place of a previous one if there is one."""
    temporary = written.collection.name
    if previous:
        result = ownership.result_name(previous)
        shots.remove_markers(scene, result)
        ownership.remove(previous, written.collection, new_datablocks)
    else:
        result = ownership.unused_name(name)
        scene.collection.children.link(written.collection)
    ownership.claim(new_datablocks, temporary, result, clip_id)
    for index, person in enumerate(written.people):
        person[ownership.PERSON] = index
    shots.add_markers(scene, result, written.shots)


def _add_light(
    scene: bpy.types.Scene,
    written: WrittenScene,
    previous: bpy.types.Collection | None,
    units_per_meter: float,
) -> None:
    """Light a dark scene: the sun is linked to the collection, a new world to the scene.

    Args:
        scene: may have light.
        written: new result, outside of the scene, with its temporary name.
        previous: result that is about to be removed, with its light.
        units_per_meter: Blender units in a metre.
    """
    owned = ownership.datablocks(ownership.result_name(previous)) if previous else {}
    replaced = set(owned.values())
    if lighting.is_dark(scene, replaced):
        name = written.collection.name
        light = lighting.create(name, scene, written.camera, replaced, units_per_meter)
        written.collection.objects.link(light.sun)
        scene.world = light.world or scene.world


def _renew(
    scene: bpy.types.Scene,
    written: WrittenScene,
    previous: bpy.types.Collection,
    fresh: replacement.Fresh,
    clip_id: str,
    tracks: list[int],
    changes: list[edits.Change],
) -> WrittenScene:
    """Give a previous result the motion of a new one, which is removed."""
    armatures, sentences = replacement.replace_motion(
        scene, previous, fresh, clip_id, tracks, changes
    )
    return replace(
        written,
        collection=previous,
        people=tuple(armatures[index] for index in sorted(armatures)),
        cameras=tuple(shots.cameras(ownership.result_name(previous)).values()),
        kept=tuple(sentences),
    )


def _build(
    name: str,
    clip: Path | None,
    reconstruction: Reconstruction,
    timing: timeline.Timing,
    units_per_meter: float,
    rig: character.RigOptions,
    *,
    is_shared: bool,
) -> tuple[WrittenScene, tuple[character.Character, ...]]:
    """Make all datablocks, outside of all scenes; all share one action if requested."""
    name = ownership.TEMPORARY_PREFIX + ownership.shorten(name)
    collection = bpy.data.collections.new(name)
    shared = action.Motion(f"{name} {edits.SHARED_MOTION}") if is_shared else None
    people = _build_people(name, reconstruction, timing, units_per_meter, rig)
    for index, person in enumerate(people):
        action.write_person(person, reconstruction, index, timing.keys, shared)
    clip_shots = tuple(shots.shots_of(reconstruction, timing))
    cameras = {}
    for shot in clip_shots:
        motion = shared or action.Motion(f"{name} {shot.part} Motion")
        shown = shots.frames_of(reconstruction, shot)
        keys = shots.keys_of(timing.keys, shot)
        shot_camera = camera.create(f"{name} {shot.part}", shown, keys, motion, units_per_meter)
        cameras[shot_camera] = motion
    if clip:
        footage.attach(cameras, clip, reconstruction, timing)
    person_objects = (obj for person in people for obj in person.objects)
    for obj in (*person_objects, *cameras):
        collection.objects.link(obj)
    # Of the body alone: hands are out of sight more often than not.
    confidence = reconstruction.joint_confidence[reconstruction.present][:, BODY_JOINTS]
    written = WrittenScene(
        collection=collection,
        people=tuple(person.armature for person in people),
        cameras=tuple(cameras),
        shots=clip_shots,
        timing=timing,
        confidence=float(confidence.mean()) if len(confidence) else 0.0,
    )
    return written, tuple(people)


def _build_people(
    name: str,
    reconstruction: Reconstruction,
    timing: timeline.Timing,
    units_per_meter: float,
    rig: character.RigOptions,
) -> list[character.Character]:
    try:
        body = load_body_file()
    except BadInputError as error:
        raise JobError(str(error), ExitCode.BAD_INPUT) from error
    edit_scene = bpy.data.scenes.new(name)
    shapes = bone_shapes.create(name)
    people = []
    for index, betas in enumerate(reconstruction.betas):
        person_name = f"{name} {replacement.person_part(index + 1)}"
        person = character.create(
            person_name,
            body,
            betas,
            edit_scene,
            shapes,
            units_per_meter=units_per_meter,
            options=rig,
        )
        people.append(person)
    bpy.data.scenes.remove(edit_scene)
    return people


def _source_name(reconstruction: Reconstruction) -> str:
    """Return the clip's name from the reconstruction's provenance."""
    source = reconstruction.provenance.get("source")
    name = source.get("name") if isinstance(source, dict) else source
    return Path(str(name or "Reconstruction")).stem
