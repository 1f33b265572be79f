"""Rig files: armatures in .blend files that get the motion of a clip's people."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import bpy

from .. import paths, scene
from . import apply, detection, presets, sampling, stored_contacts
from .errors import RetargetError

if TYPE_CHECKING:
    from ...hund_backend.reconstruction import Reconstruction

_SUFFIX = ".blend"


class RigFile(NamedTuple):
    """An armature in a .blend file."""

    path: Path
    armature: str  # name of the object


def parse(text: str) -> RigFile:
    """Read `character.blend:Armature`.

    Raises:
        RetargetError: it has another form.
        JobError: the path is relative to a .blend that was never saved.
    """
    path, colon, name = text.rpartition(":")
    if not colon or not name or not path.lower().endswith(_SUFFIX):
        raise RetargetError(f"{text} does not name a rig: write FILE.blend:ARMATURE.")
    return RigFile(paths.resolve(path), name)


def animate(
    people: scene.WrittenScene,
    reconstruction: "Reconstruction",
    rigs: Sequence[RigFile],
    user_presets: Path | None,
) -> list[bpy.types.Object]:
    """Append a rig for each person and apply the motion; the people themselves are hidden.

    Args:
        people: in the scene.
        reconstruction: that they were made from.
        rigs: of the people in order; the last one is used for all further people.
        user_presets: folder with the user's presets, or None.

    Returns:
        The rigs' armatures.

    Raises:
        RetargetError: a rig cannot be read or gets no motion.
    """
    known = presets.load(user_presets)
    collection = bpy.data.collections.new(f"Rigs - {people.name}")
    bpy.context.scene.collection.children.link(collection)
    armatures = []
    for index, person in enumerate(people.people):
        armature = append(rigs[min(index, len(rigs) - 1)], collection)
        frames = sampling.whole_frames(sampling.frame_range(person))
        apply.apply_motion(
            person,
            detection.detect(person, known).mapping,
            armature,
            detection.detect(armature, known).mapping,
            apply.Options(key_switches=True),
            frames=frames,
            contacts=stored_contacts.at_frames(reconstruction, index, people.timing, frames),
        )
        armatures.append(armature)
    _hide(people)
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


def _hide(people: scene.WrittenScene) -> None:
    """Move people to a hidden collection within theirs."""
    hidden = bpy.data.collections.new(f"Source - {people.name}")
    people.collection.children.link(hidden)
    for person in people.people:
        for obj in (person, *person.children):
            hidden.objects.link(obj)
            people.collection.objects.unlink(obj)
    hidden.hide_viewport = hidden.hide_render = True
