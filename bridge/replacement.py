"""Replacement: what becomes of a clip's previous result when the clip is written again."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import bpy
import numpy as np
from bpy.app.translations import pgettext_rpt as rpt_

from ..hund_backend.errors import ExitCode
from . import action, bone_names, edits, ownership, rest_pose, shots, texts
from .character import UNITS_PER_METER, Character
from .existing import Existing
from .job import JobError

# Properties of a clip's camera that a solve determines.
_CAMERA_OBJECT = ("location", "rotation_mode", "rotation_quaternion", "rotation_euler")
_CAMERA_DATA = ("lens", "shift_x", "shift_y", "sensor_fit", "sensor_width")
_SHAPE_SETTINGS = (  # of a bone's wire, which depend on the body shape
    "custom_shape_scale_xyz",
    "custom_shape_translation",
    "custom_shape_rotation_euler",
)
_ASIDE = "~"  # before the path of an F-curve that must not be written to
_FOOTAGE = ("frame_start", "frame_duration", "frame_offset")  # of a background's image user


@dataclass(frozen=True, kw_only=True)
class Matching:
    """People of a new reconstruction and of the previous result, matched by their tracks."""

    kept: dict[int, str]  # part of the armature, by the person's index
    deleted: dict[int, str]  # people whose armature the user has deleted
    new: tuple[int, ...]  # people whom the previous result does not have
    vanished: tuple[str, ...]  # parts of people whom the new reconstruction does not have


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """A new result outside of all scenes, with temporary names."""

    collection: bpy.types.Collection
    people: tuple[Character, ...]
    shots: tuple[shots.Shot, ...]
    cameras: tuple[bpy.types.Object, ...]  # of the shots
    datablocks: set[bpy.types.ID]
    write_motion: Callable[[Character, int, action.Motion], None]
    """Keys the motion of the person with this index on a character."""

    def part_of(self, datablock: bpy.types.ID) -> str:
        """Return the name of a datablock within the result."""
        return datablock.name.removeprefix(self.collection.name).strip()

    def of_object(self, part: str) -> set[bpy.types.ID]:
        """Return the datablocks of a person or a camera."""
        return {
            datablock
            for datablock in self.datablocks
            if f"{self.part_of(datablock)} ".startswith(f"{part} ")
        }


@dataclass(kw_only=True)
class Report:
    """Sentences for the user about what was kept and what was not."""

    sentences: list[str] = field(default_factory=list)

    def say(self, template: str, **values: str) -> None:
        """Add a sentence, translated before its values are filled in."""
        self.sentences.append(texts.fill(rpt_(template), **values))


def person_part(number: int) -> str:
    """Return the part of a person's armature; numbers start at 1."""
    return f"Person {number}"


def match(previous: bpy.types.Collection, tracks: list[int]) -> Matching:
    """Match the people of a new reconstruction, given by their tracks, with the previous ones."""
    owned = ownership.datablocks(ownership.result_name(previous))
    part_of_track = {track: part for part, track in edits.recorded_people(previous).items()}
    kept, deleted = {}, {}
    for index, track in enumerate(tracks):
        if part := part_of_track.get(track):
            armature = owned.get(("OBJECT", part))
            (kept if armature and armature.users_scene else deleted)[index] = part
    return Matching(
        kept=kept,
        deleted=deleted,
        new=tuple(i for i in range(len(tracks)) if i not in kept and i not in deleted),
        vanished=tuple(
            part
            for track, part in part_of_track.items()
            if track not in tracks and ("OBJECT", part) in owned
        ),
    )


def choose(
    existing: str,
    previous: bpy.types.Collection | None,
    tracks: list[int],
    changes: list[edits.Change],
) -> Existing:
    """Return what becomes of the previous result: never AUTO.

    Args:
        existing: one of `Existing`.
        previous: collection of the result, if there is one.
        tracks: of the people in the new reconstruction.
        changes: by the user on the previous result.

    Raises:
        JobError: only the motion shall be replaced, but bones are missing.
    """
    if previous is None:
        return Existing.ADD
    if existing == Existing.AUTO:
        if not changes:
            return Existing.ALL
        matching = match(previous, tracks)
        is_matched = not (matching.new or matching.vanished)
        is_possible = is_matched and not people_without_bones(previous, tracks)
        return Existing.MOTION if is_possible else Existing.ADD
    if existing == Existing.MOTION and (names := people_without_bones(previous, tracks)):
        message = rpt_("Bones of {people} are missing: choose Add Beside instead.")
        raise JobError(texts.fill(message, people=", ".join(names)), ExitCode.BAD_INPUT)
    return Existing(existing)


def replace_motion(
    scene: bpy.types.Scene,
    previous: bpy.types.Collection,
    fresh: Fresh,
    clip: str,
    tracks: list[int],
    changes: list[edits.Change],
) -> tuple[dict[int, bpy.types.Object], list[str]]:
    """Give the motion of a new result to the previous one, whose datablocks are all kept.

    Renewed are the keys of the solve, the body shape with its rest bones where the user has
    changed neither, and of the cameras what the solve determines and the user has not changed.
    New people and cameras are added; markers of shots follow. What remains of the new result is removed.

    Args:
        scene: contains the result.
        previous: its collection.
        fresh: the new result.
        clip: identifies the clip.
        tracks: of the new result's people.
        changes: by the user on the previous result.

    Returns:
        Armatures by the person's index, and sentences for the user.
    """
    result, report = ownership.result_name(previous), Report()
    matching = match(previous, tracks)
    renewal = _Renewal(previous, fresh, clip, changes, report)
    armatures = {i: renewal.renew_person(i, part) for i, part in matching.kept.items()}
    renewal.renew_cameras()
    shots.renew_markers(scene, result, fresh.shots)
    parts = {part: track for part, track in edits.recorded_people(previous).items()}
    for index in matching.new:
        part = next(p for n in range(1, 1000) if (p := person_part(n)) not in parts)
        armatures[index] = renewal.add_person(index, part)
        parts[part] = tracks[index]
    for part in matching.deleted.values():
        report.say("{person} stays deleted.", person=part)
    for part in matching.vanished:
        report.say("{person} is not in the new result and keeps its motion.", person=part)
        armature = ownership.datablocks(result)["OBJECT", part]
        armature.pop(ownership.PERSON, None)
    for index, armature in armatures.items():
        armature[ownership.PERSON] = index
    renewal.remove_remains()
    edits.update(previous, parts, changes, renewal.is_rewritten)
    return armatures, report.sentences


def rest_of(previous: bpy.types.Collection) -> str:
    """Return the rest pose of the people of a result, one of `rest_pose.RESTS`."""
    owned = ownership.datablocks(ownership.result_name(previous))
    armatures = (
        obj for (kind, part), obj in owned.items() if kind == "OBJECT" and ownership.PERSON in obj
    )
    return next(map(rest_pose.rest_of, armatures), "A")


def people_without_bones(previous: bpy.types.Collection, tracks: list[int]) -> list[str]:
    """Return the names of the people whose armature lacks a bone that the motion needs."""
    owned = ownership.datablocks(ownership.result_name(previous))
    return [
        owned["OBJECT", part].name
        for part in match(previous, tracks).kept.values()
        if bone_names.joint_bone_names(owned["OBJECT", part]) is None
    ]


class _Renewal:
    """Renewal of one result's motion."""

    def __init__(
        self,
        previous: bpy.types.Collection,
        fresh: Fresh,
        clip: str,
        before: list[edits.Change],
        report: Report,
    ) -> None:
        self._previous, self._fresh, self._clip, self._report = previous, fresh, clip, report
        self._result = ownership.result_name(previous)
        self._owned = ownership.datablocks(self._result)
        self._before = before
        self._rewritten: set[tuple[tuple[str, str], str]] = set()  # action and path
        self._backed_up: set[bpy.types.Action] = set()
        self.adopted: set[bpy.types.ID] = set()
        self._has_added = False

    def is_rewritten(self, change: edits.Change) -> bool:
        """Return whether something that the user had changed was written again."""
        return (change.datablock, change.item) in self._rewritten or change.aspect == "motion"

    def renew_person(self, index: int, part: str) -> bpy.types.Object:
        """Write the motion of a new person on a previous one's armature and mesh."""
        fresh = self._fresh.people[index]
        armature, mesh = self._owned["OBJECT", part], self._owned.get(("OBJECT", f"{part} Body"))
        shape_keys = mesh.data.shape_keys if mesh else None
        if not self._renew_build(part, armature, shape_keys, fresh):
            self._report.say(
                "{person} keeps its body shape: its bones or its shape were edited.", person=part
            )
        units_per_meter = armature.get(UNITS_PER_METER, fresh.units_per_meter)
        character = fresh._replace(armature=armature, mesh=mesh, units_per_meter=units_per_meter)
        pairs = [(armature, fresh.armature)]
        pairs += [(mesh, fresh.mesh)] if mesh else []
        pairs += [(shape_keys, fresh.mesh.data.shape_keys)] if shape_keys else []
        names = zip(*map(bone_names.joint_bone_names, (fresh.armature, armature)), strict=True)
        values = self._edited_values(shape_keys) if shape_keys else {}
        with self._kept_motion(f"{part} Motion", pairs, _BonePaths(dict(names))) as motion:
            self._fresh.write_motion(character, index, motion)
        for name, value in values.items():
            shape_keys.key_blocks[name].value = value
        return armature

    def renew_cameras(self) -> None:
        """Renew the cameras of all shots; one that the user has deleted stays deleted."""
        kept = shots.cameras(self._result)
        for shot, fresh in zip(self._fresh.shots, self._fresh.cameras, strict=True):
            if shot.number in kept:
                self._renew_camera(shot.part, kept.pop(shot.number), fresh)
            elif not edits.recorded_items(self._previous, ("OBJECT", shot.part), "scene"):
                self._previous.objects.link(fresh)
                self._fresh.collection.objects.unlink(fresh)
                self._adopt(self._fresh.of_object(shot.part))
        for number in kept:
            part = shots.camera_part(number)
            self._report.say("{camera} has no shot in the new result and stays.", camera=part)

    def _renew_camera(self, part: str, camera: bpy.types.Object, fresh: bpy.types.Object) -> None:
        """Write the keys, the lens and the footage's timing of a new camera on the old one."""
        self._copy_settings(camera, fresh, _CAMERA_OBJECT)
        self._copy_settings(camera.data, fresh.data, _CAMERA_DATA)
        self._renew_footage(camera, fresh)
        pairs = [(camera, fresh), (camera.data, fresh.data)]
        paths = _BackgroundPaths(self._footage_index(camera))
        with self._kept_motion(f"{part} Motion", pairs, paths) as motion:
            for kept, source in pairs:
                if source.animation_data and (
                    channels := action.channels_in(source.animation_data)
                ):
                    suffix = "" if kept == camera else "Lens"
                    action.copy_channels(channels, motion.channels(kept, suffix), paths)

    def add_person(self, index: int, part: str) -> bpy.types.Object:
        """Add a person whom the previous result does not have."""
        built_part = person_part(index + 1)
        person = self._fresh.people[index]
        for obj in person.objects:
            self._previous.objects.link(obj)
            self._fresh.collection.objects.unlink(obj)
        self._adopt(self._fresh.of_object(built_part), {built_part: part})
        self._report.say("{person} is added.", person=part)
        return person.armature

    def _adopt(
        self, datablocks: set[bpy.types.ID], renamed_parts: Mapping[str, str] | None = None
    ) -> None:
        """Make datablocks of the new result parts of the previous one."""
        name = self._fresh.collection.name
        ownership.claim(datablocks, name, self._result, self._clip, renamed_parts)
        self.adopted |= datablocks
        self._has_added = True

    def remove_remains(self) -> None:
        """Remove what was not taken from the new result; what added objects share is the old."""
        remains = self._fresh.datablocks - self.adopted
        for datablock in remains if self._has_added else ():
            key = (datablock.id_type, self._fresh.part_of(datablock))
            if key in self._owned and key[0] in {"IMAGE", "MESH", "OBJECT"}:
                datablock.user_remap(self._owned[key])
        bpy.data.batch_remove(remains)

    @contextmanager
    def _kept_motion(
        self, part: str, pairs: Sequence[tuple[bpy.types.ID, bpy.types.ID]], paths: "_Paths"
    ) -> Iterator[action.Motion]:
        """Provide a motion that replaces the solve's keys wherever the kept datablocks use them.

        The action stays where it is: in strips with their timing, below other actions, shared
        with linked copies. Other F-curves in it are the user's and stay, and so do those of the
        solve whose keys the user has edited.

        Args:
            part: of the action.
            pairs: kept datablocks, each with its new one.
            paths: of F-curves on the kept datablocks, by those on the new ones.
        """
        temporary = f"{self._fresh.collection.name} {part}"
        channels, kept_actions, displaced = {}, {}, {}
        for kept, _ in pairs:
            if holder := self._holder_of(kept):
                channels[kept] = action.channels_in(holder)
                kept_actions[holder.action] = None
            elif kept.animation_data:
                kept.animation_data.use_tweak_mode = False  # else its action is read-only
                displaced[kept] = kept.animation_data.action
        written = {
            paths[curve.data_path]
            for _, fresh in pairs
            for item in (edits.actions(fresh.animation_data) if fresh.animation_data else ())
            for curve in action.fcurves(item)
        }
        edited = set()
        for kept_action in kept_actions:
            key = ("ACTION", ownership.part_of(kept_action))
            prefixes = {edits.key_prefix(kept_action, bag) for bag in channels.values()}
            recorded = edits.recorded_items(self._previous, key, "key")
            solved = _without_prefixes(recorded, prefixes) | written
            own = _without_prefixes(self._edited_items(key), prefixes)
            own &= solved & _paths(channels.values())
            rewritten = {prefix + path for prefix in prefixes for path in solved - own}
            self._rewritten |= {(key, item) for item in rewritten}
            edited |= own
            for kept, bag in channels.items():
                for curve in [c for c in bag.fcurves if c.data_path in solved - written - own]:
                    path = curve.data_path
                    bag.fcurves.remove(curve)
                    if path in action.HIDING:
                        setattr(kept, path, False)
        before = set(bpy.data.actions)
        existing = next(iter(kept_actions), None) if action.HAS_SLOTS else None
        with _set_aside(channels.values(), edited):
            yield action.Motion(temporary, existing, channels)
        new = set(bpy.data.actions) - before
        ownership.claim(new, self._fresh.collection.name, self._result, self._clip)
        for kept, previous_action in displaced.items():
            if previous_action and kept.animation_data.action != previous_action:
                previous_action.use_fake_user = True
                self._report.say(
                    "The action {action} is kept, but {name} has the new motion.",
                    action=previous_action.name,
                    name=kept.name,
                )

    def _holder_of(
        self, datablock: bpy.types.ID
    ) -> bpy.types.AnimData | bpy.types.NlaStrip | None:
        """Return what assigns the result's action to a datablock, if anything does."""
        animation = datablock.animation_data
        owned = set(self._owned.values())
        for holder in (animation, *edits.strips(animation)) if animation else ():
            if holder.action in owned and action.channels_in(holder) is not None:
                return holder
        return None

    def _edited_items(self, key: tuple[str, str]) -> set[str]:
        """Return the items of an action's keys that the user has edited."""
        return {c.item for c in self._before if c[:2] == (key, "key")}

    def _renew_build(
        self,
        part: str,
        armature: bpy.types.Object,
        shape_keys: bpy.types.Key | None,
        fresh: Character,
    ) -> bool:
        """Give a previous person the new body shape and the rest bones that fit it.

        Returns:
            False if it keeps its own, because the user has changed either of them.
        """
        blocks = shape_keys.key_blocks if shape_keys else {}
        shapes = [b for b in fresh.mesh.data.shape_keys.key_blocks if b.name.startswith("Shape ")]
        key, keys_key = ("ARMATURE", part), ("KEY", f"{part} Body")
        is_edited = any(
            (change.datablock == key and change.aspect != "name")
            or (change.datablock == keys_key and change.item.startswith("Shape "))
            for change in self._before
        )
        is_complete = self._owned.get(key) == armature.data and all(
            b.name in blocks for b in shapes
        )
        if is_edited or not is_complete or armature.mode == "EDIT":
            return False
        if armature.get(UNITS_PER_METER) != fresh.armature.get(UNITS_PER_METER):
            return False
        if rest_pose.rest_of(armature) != rest_pose.rest_of(fresh.armature):
            return False
        self._swap_bones(key, armature, fresh.armature)
        bind = self._owned.get(("OBJECT", f"{part} Bind"))
        if fresh.bind and bind:
            self._swap_bones(("ARMATURE", f"{part} Bind"), bind, fresh.bind)
        _raise_skin(shape_keys, fresh.mesh.data.shape_keys)
        for block in shapes:
            kept = blocks[block.name]
            kept.slider_min, kept.slider_max = block.slider_min, block.slider_max
            kept.value = block.value
        return True

    def _swap_bones(
        self, key: tuple[str, str], armature: bpy.types.Object, fresh: bpy.types.Object
    ) -> None:
        """Give an armature new rest bones, with the same names."""
        previous, name = armature.data, armature.data.name
        edited = {c.item for c in self._before if c[:2] == (("OBJECT", key[1]), "bone")}
        armature.data = fresh.data
        for bone in fresh.pose.bones:
            if bone.name not in edited and bone.name in armature.pose.bones:
                kept = armature.pose.bones[bone.name]
                for setting in _SHAPE_SETTINGS:
                    setattr(kept, setting, getattr(bone, setting))
        original_name = ownership.original_name(previous)
        ownership.unmark(previous)  # copies of the person may still have it
        if not previous.users:
            bpy.data.batch_remove([previous])
        ownership.mark(armature.data, key[1], self._result, self._clip)
        if name != original_name:
            armature.data.name = name  # the user has renamed it
        self.adopted.add(armature.data)

    def _edited_values(self, shape_keys: bpy.types.Key) -> dict[str, float]:
        """Return the values that the user has given to shape keys."""
        key = ("KEY", ownership.part_of(shape_keys))
        names = {c.item for c in self._before if c[:2] == (key, "shape key value")}
        return {b.name: b.value for b in shape_keys.key_blocks if b.name in names}

    def _copy_settings(
        self, kept: bpy.types.ID, fresh: bpy.types.ID, names: Sequence[str]
    ) -> None:
        """Copy the settings that the user has not changed."""
        key = (kept.id_type, ownership.part_of(kept))
        edited = {change.item for change in self._before if change.datablock == key}
        for name in names:
            if name not in edited:
                setattr(kept, name, getattr(fresh, name))

    def _renew_footage(self, camera: bpy.types.Object, fresh: bpy.types.Object) -> None:
        """Copy the timing of the footage, unless the user has removed it."""
        index = self._footage_index(camera)
        if index is None or not fresh.data.background_images:
            return
        kept = camera.data.background_images[index].image_user
        source = fresh.data.background_images[0].image_user
        for name in _FOOTAGE:
            setattr(kept, name, getattr(source, name))

    def _footage_index(self, camera: bpy.types.Object) -> int | None:
        """Return the index of the clip among a camera's background images."""
        image = self._owned.get(("IMAGE", "Camera Footage"))
        backgrounds = enumerate(camera.data.background_images)
        return next((index for index, item in backgrounds if image and item.image == image), None)


def _without_prefixes(items: Iterable[str], prefixes: Iterable[str]) -> set[str]:
    """Return the paths of F-curves in some slots of an action (see `edits.key_prefix`)."""
    return {i.removeprefix(p) for i in items for p in prefixes if i.startswith(p)}


def _paths(bags: Iterable[action.Channels]) -> set[str]:
    return {curve.data_path for bag in bags for curve in bag.fcurves}


def _raise_skin(kept: bpy.types.Key, fresh: bpy.types.Key) -> None:
    """Raise the shape keys of a skin by as much as new rest bones are higher than before.

    The soles of each build stand on z = 0, and the template is raised with the bones. The median
    leaves out what the user has edited.
    """
    before, after = (_coordinates(keys.reference_key) for keys in (kept, fresh))
    if before.shape != after.shape:
        return  # the user has added or removed vertices
    offset = np.median(after - before, axis=0)
    for block in kept.key_blocks:
        moved = (_coordinates(block) + offset).astype(np.float32)
        block.points.foreach_set("co", moved.ravel())
    kept.id_data.update_tag()


def _coordinates(block: bpy.types.ShapeKey) -> np.ndarray:
    """Return the points of a shape key, (vertices, 3)."""
    values = np.empty(3 * len(block.points), np.float32)
    block.points.foreach_get("co", values)
    return values.reshape(-1, 3)


@contextmanager
def _set_aside(bags: Iterable[action.Channels], paths: set[str]) -> Iterator[None]:
    """Keep F-curves with these paths as they are: what is written to the paths is removed."""
    for curve in [c for bag in bags for c in bag.fcurves if c.data_path in paths]:
        curve.data_path = _ASIDE + curve.data_path
    try:
        yield
    finally:
        for bag in bags:
            for kept in [c for c in bag.fcurves if c.data_path.startswith(_ASIDE)]:
                path = kept.data_path.removeprefix(_ASIDE)
                if written := bag.fcurves.find(path, index=kept.array_index):
                    bag.fcurves.remove(written)
                kept.data_path = path


class _Paths(dict):
    """Paths of F-curves on a kept datablock, by those on the new one: the same unless stated."""

    def __missing__(self, path: str) -> str:
        return path


class _BonePaths(_Paths):
    """Paths on an armature whose bones the user may have renamed."""

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__()
        self._names = names

    def __missing__(self, path: str) -> str:
        start, separator, rest = path.partition('["')
        name, quote, end = rest.partition('"')
        if start != "pose.bones":
            return path
        return start + separator + self._names.get(name, name) + quote + end


class _BackgroundPaths(_Paths):
    """Paths on a camera to whose background images the user may have added some."""

    def __init__(self, index: int | None) -> None:
        super().__init__()
        self._index = index or 0

    def __missing__(self, path: str) -> str:
        return path.replace("background_images[0]", f"background_images[{self._index}]")
