"""Rig files: armatures in .blend files that get the motion of a clip's people."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import bpy
import numpy as np

from .. import paths, scene
from . import apply, detection, presets, sampling, steps, stored_contacts
from .errors import RetargetError

if TYPE_CHECKING:
    from ...hund_backend.reconstruction import Reconstruction

_SUFFIX = ".blend"
_NUMBERED = re.compile(r"(?:(\d+)=)?(.*)", re.DOTALL)


class RigFile(NamedTuple):
    """An armature in a .blend file."""

    path: Path
    armature: str  # name of the object
    person: int | None = None  # number from 1; None: the next one without a rig


def parse(text: str) -> RigFile:
    """Read `character.blend:Armature`, or `2=character.blend:Armature` for the second person.

    Raises:
        RetargetError: it has another form.
        JobError: the path is relative to a .blend that was never saved.
    """
    number, rest = _NUMBERED.fullmatch(text).groups()
    path, colon, name = rest.rpartition(":")
    if not colon or not name or not path.lower().endswith(_SUFFIX) or number == "0":
        raise RetargetError(
            f"{text} does not name a rig: write FILE.blend:ARMATURE, or 1=FILE.blend:ARMATURE "
            "for the first person."
        )
    return RigFile(paths.resolve(path), name, int(number) if number else None)


def check(rigs: Sequence[RigFile]) -> None:
    """Check that each person gets one rig at most.

    Raises:
        RetargetError: a person gets two.
    """
    numbers = [rig.person for rig in rigs if rig.person]
    for number in numbers:
        if numbers.count(number) > 1:
            raise RetargetError(f"Person {number} gets two rigs: name one of them.")


def of_people(rigs: Sequence[RigFile], people: int) -> list[RigFile | None]:
    """Return the rig of each person.

    Rigs with a number belong to that person. The others are given to the remaining people in
    order, and the last one of them to all further people; without any, these get None.

    Args:
        rigs: that were named.
        people: their number.
    """
    numbered = {rig.person: rig for rig in rigs if rig.person}
    others = [rig for rig in rigs if not rig.person]
    result = []
    for person in range(1, people + 1):
        rig = numbered.get(person)
        if rig is None and others:
            rig = others.pop(0) if len(others) > 1 else others[0]
        result.append(rig)
    return result


def animate(
    people: scene.WrittenScene,
    reconstruction: "Reconstruction",
    rigs: Sequence[RigFile],
    user_presets: Path | None,
    options: apply.Options,
) -> list[bpy.types.Object]:
    """Append a rig for each person and apply the motion; people with a rig are hidden.

    Args:
        people: in the scene.
        reconstruction: that they were made from.
        rigs: of the people (see `of_people`).
        user_presets: folder with the user's presets, or None.
        options: how the motions are applied.

    Returns:
        The armature that moves for each person: the rig, or the person's own.

    Raises:
        RetargetError: a rig cannot be read or gets no motion.
    """
    known = presets.load(user_presets)
    collection = bpy.data.collections.new(f"Rigs - {people.name}")
    bpy.context.scene.collection.children.link(collection)
    armatures, tasks = list(people.people), []
    for index, rig in enumerate(of_people(rigs, len(people.people))):
        if rig is None:
            continue
        person, armature = people.people[index], append(rig, collection)
        frames = sampling.whole_frames(sampling.frame_range(person))
        tasks.append(
            apply.Task(
                source=person,
                source_mapping=detection.detect(person, known).mapping,
                target=armature,
                target_mapping=detection.detect(armature, known).mapping,
                frames=frames,
                contacts=stored_contacts.at_frames(reconstruction, index, people.timing, frames),
            )
        )
        armatures[index] = armature
    steps.finish(apply.apply_all(tasks, options, steps.Pace(np.inf)), lambda share: None)
    _hide(people, [task.source for task in tasks])
    return armatures


def append(rig: RigFile, collection: bpy.types.Collection) -> bpy.types.Object:
    """Append an armature, with the objects that follow it, to a collection.

    Raises:
        RetargetError: the file or the armature is missing.
    """
    try:
        with bpy.data.libraries.load(str(rig.path)) as (given, wanted):
            names = list(given.objects)
            if rig.armature in names:
                wanted.objects = list(names)  # Blender puts the objects into this list
    except (OSError, ValueError) as error:
        raise RetargetError(f"{rig.path} cannot be read: choose a .blend file.") from error
    if rig.armature not in names:
        raise RetargetError(f"{rig.path.name} has no object {rig.armature}.")
    armature = wanted.objects[names.index(rig.armature)]
    if armature.type != "ARMATURE":
        raise RetargetError(f"{rig.armature} in {rig.path.name} is not an armature.")
    for obj in wanted.objects:
        if obj and _follows(obj, armature):
            collection.objects.link(obj)
    bpy.context.view_layer.update()
    return armature


def _follows(obj: bpy.types.Object, armature: bpy.types.Object) -> bool:
    """Return whether an object is the armature, is deformed by it, or hangs on it."""
    if any(item.type == "ARMATURE" and item.object == armature for item in obj.modifiers):
        return True
    while obj and obj != armature:
        obj = obj.parent
    return obj == armature


def _hide(people: scene.WrittenScene, replaced: Sequence[bpy.types.Object]) -> None:
    """Move people who have a rig to a hidden collection within theirs."""
    hidden = bpy.data.collections.new(f"Source - {people.name}")
    people.collection.children.link(hidden)
    for person in replaced:
        for obj in (person, *person.children):
            hidden.objects.link(obj)
            people.collection.objects.unlink(obj)
    hidden.hide_viewport = hidden.hide_render = True
