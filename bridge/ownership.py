"""Ownership: which datablocks of a file were made from a clip, and their replacement by new ones.

Datablocks that the user added, copied or renamed belong to the user and are kept.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import bpy

TEMPORARY_PREFIX = "~"  # of the names of unfinished datablocks: the final names may be taken
_CLIP = "hund_clip"  # custom property of an owned datablock: the clip it was made from
_PART = "hund_part"  # its name within the clip's collection
_NAME = "hund_name"  # its full name when it was made; a copy's name differs
_PERSON = re.compile(r"Person (\d+)")  # an armature's part


@contextmanager
def collect_new_datablocks() -> Iterator[set[bpy.types.ID]]:
    """Collect the datablocks that are made inside the block; remove them if it fails."""
    before = set(bpy.data.user_map())
    new: set[bpy.types.ID] = set()
    try:
        yield new
    except BaseException:
        bpy.data.batch_remove(set(bpy.data.user_map()) - before)
        raise
    new |= set(bpy.data.user_map()) - before


def latest_collection(scene: bpy.types.Scene, clip: str) -> bpy.types.Collection | None:
    """Return the last collection in a scene that was made from a clip."""
    collections = [c for c in scene.collection.children_recursive if c.get(_CLIP) == clip]
    return collections[-1] if collections else None


def is_owned(datablock: bpy.types.ID, clip: str) -> bool:
    """Return whether a datablock was made from the clip and was not copied or renamed since."""
    is_original = datablock.get(_CLIP) == clip and datablock.get(_NAME) == datablock.name
    return is_original and datablock.library is None


def people(scene: bpy.types.Scene, name: str) -> dict[int, bpy.types.Object]:
    """Return the armatures of the collection that was made under a name, by the person's index.

    Both may have been renamed since. Of several copies, the one that has kept its name is taken.
    """
    candidates = [c for c in scene.collection.children_recursive if c.get(_NAME) == name]
    armatures: dict[int, bpy.types.Object] = {}
    for collection in sorted(candidates, key=lambda candidate: candidate.name == name)[-1:]:
        for obj in sorted(collection.all_objects, key=lambda obj: obj.get(_NAME) == obj.name):
            part = _PERSON.fullmatch(obj.get(_PART, ""))
            is_local = obj.get(_CLIP) == collection.get(_CLIP) and obj.library is None
            if part and is_local and obj.type == "ARMATURE":
                armatures[int(part[1]) - 1] = obj
    return armatures


def claim(datablocks: Iterable[bpy.types.ID], collection: bpy.types.Collection, clip: str) -> None:
    """Give new datablocks their final names and mark them as made from the clip."""
    parts = {datablock: _part(datablock, collection) for datablock in datablocks}
    for datablock, part in parts.items():
        datablock.name = datablock.name.removeprefix(TEMPORARY_PREFIX)
        datablock[_CLIP], datablock[_PART], datablock[_NAME] = clip, part, datablock.name
        for slot in getattr(datablock, "slots", ()):  # of an action, since Blender 4.4
            slot.name_display = slot.name_display.removeprefix(TEMPORARY_PREFIX)


def replace(previous: bpy.types.Collection, collection: bpy.types.Collection, clip: str) -> None:
    """Replace a clip's previous collection by a new one, which still has its temporary name.

    References to an object of the previous collection (from a constraint, a child, the scene's
    camera, a collection) point at the new object of the same part afterwards.
    """
    successors = {_part(obj, collection): obj for obj in collection.objects}
    owned = [obj for obj in previous.objects if is_owned(obj, clip)]
    for obj in set(previous.objects) - set(owned):
        collection.objects.link(obj)
    for child in previous.children:
        collection.children.link(child)
    for obj in owned:
        if obj[_PART] in successors:
            obj.user_remap(successors[obj[_PART]])
    previous.user_remap(collection)
    bpy.data.batch_remove([*owned, previous])
    _remove_unused(clip)


def _part(datablock: bpy.types.ID, collection: bpy.types.Collection) -> str:
    """Return the name of a new datablock without the name of its collection."""
    return datablock.name.removeprefix(collection.name).strip()


def _remove_unused(clip: str) -> None:
    """Remove owned datablocks that have no users, until there are none."""
    while unused := [id_ for id_ in bpy.data.user_map() if not id_.users and is_owned(id_, clip)]:
        bpy.data.batch_remove(unused)
