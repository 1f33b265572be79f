"""Ownership: which datablocks of a file belong to a result, whatever their names are now.

A result is a collection made from a clip, with everything that was made for it. Its datablocks
carry marks, which are kept by saving and undo. A copy carries the same marks; a mark therefore
includes the number that identifies its datablock for as long as Blender runs, and a copy has
another number. `unmark_copies` before a file is saved and `renew_marks` after one is opened keep
this true from one run of Blender to the next.

Copies, appended and linked datablocks belong to the user, as everything without a mark.
"""

import itertools
import unicodedata
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import bpy

TEMPORARY_PREFIX = "~"  # of the names of unfinished datablocks: the final names may be taken
MARK_PREFIX = "hund_"  # of all custom properties that the extension makes
PERSON = "hund_person"  # custom property of an armature: the person's index in the file
_CLIP = "hund_clip"  # custom property of an owned datablock: the clip it was made from
_RESULT = "hund_result"  # name of the result, which no other result in the file has
_PART = "hund_part"  # its name within the result
_NAME = "hund_name"  # its full name when it was made
_IDENTITY = "hund_identity"  # run of Blender and the datablock's number in it
_MARKS = (_CLIP, _RESULT, _PART, _NAME, _IDENTITY, PERSON)
_MAX_NAME_BYTES = 34  # of a result's name: Blender 4 allows 63 with a part's name and a number
_REMAPPED = {"CAMERA", "COLLECTION", "IMAGE", "LIGHT", "MATERIAL", "OBJECT", "WORLD"}
_RUN = uuid.uuid4().hex[:8]  # identifies this run of Blender


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


def is_owned(datablock: bpy.types.ID) -> bool:
    """Return whether a datablock belongs to a result: it may be renamed, but is no copy."""
    return datablock.get(_IDENTITY) == _identity(datablock) and _is_local(datablock)


def part_of(datablock: bpy.types.ID) -> str:
    """Return the name of an owned datablock within its result; empty for the collection."""
    return datablock[_PART]


def original_name(datablock: bpy.types.ID) -> str:
    """Return the name that an owned datablock had when it was made."""
    return datablock[_NAME]


def result_name(datablock: bpy.types.ID) -> str:
    """Return the name of the result that an owned datablock, such as its collection, belongs to."""
    return datablock[_RESULT]


def result_collections(
    scene: bpy.types.Scene, clip: str | None = None
) -> dict[str, bpy.types.Collection]:
    """Return the collections of a scene's results by the names of the results, in order.

    Args:
        scene: contains them.
        clip: only results of this clip.
    """
    return {
        result_name(collection): collection
        for collection in scene.collection.children_recursive
        if is_owned(collection) and clip in {None, collection[_CLIP]}
    }


def datablocks(result: str) -> dict[tuple[str, str], bpy.types.ID]:
    """Return all datablocks of a result, by type and part."""
    return {
        (datablock.id_type, datablock[_PART]): datablock
        for datablock in _all_datablocks()
        if datablock.get(_RESULT) == result and is_owned(datablock)
    }


def people(scene: bpy.types.Scene, result: str) -> dict[int, bpy.types.Object]:
    """Return the armatures of a result by the person's index in the file."""
    collection = result_collections(scene).get(result)
    if collection is None:
        return {}
    return {
        obj[PERSON]: obj
        for obj in scene.objects
        if PERSON in obj and obj.get(_RESULT) == result and is_owned(obj)
    }


def unused_name(name: str) -> str:
    """Return a name for a result; it is shortened, and numbered if others have the name."""
    taken = {datablock.get(_RESULT) for datablock in bpy.data.collections}
    taken |= set(bpy.data.collections.keys())
    numbers = itertools.chain([""], (f" {number}" for number in itertools.count(2)))
    names = (shorten(name, _MAX_NAME_BYTES - len(number)) + number for number in numbers)
    return next(candidate for candidate in names if candidate not in taken)


def shorten(name: str, max_bytes: int = _MAX_NAME_BYTES) -> str:
    """Cut off a name so that it fits into datablocks' names, between two visible characters."""
    length = len(name.encode()[:max_bytes].decode(errors="ignore"))
    while 0 < length < len(name) and _continues(name, length):
        length -= 1
    return name[:length].strip()


def claim(
    new_datablocks: Iterable[bpy.types.ID],
    temporary: str,
    result: str,
    clip: str,
    renamed_parts: Mapping[str, str] | None = None,
) -> None:
    """Give new datablocks their final names and mark them as parts of a result.

    `~demo Person 1` becomes `Person 1 - demo`: Blender's lists cut off the end of long names.

    Args:
        new_datablocks: their names begin with `temporary`.
        temporary: name of the result while it was built.
        result: its final name.
        clip: identifies the clip.
        renamed_parts: new beginnings of parts' names, by the old ones.
    """
    datablocks = sorted(new_datablocks, key=lambda datablock: datablock.name)
    for datablock in datablocks:
        part = datablock.name.removeprefix(temporary).strip()
        for old, new in (renamed_parts or {}).items():
            if part == old or part.startswith(f"{old} "):
                part = new + part.removeprefix(old)
                break
        mark(datablock, part, result, clip)
    for datablock in datablocks:
        for slot in getattr(datablock, "slots", ()):  # of an action, since Blender 4.4
            for user in slot.users()[:1]:
                slot.name_display = user.name  # so that Blender finds it for its datablock


def mark(datablock: bpy.types.ID, part: str, result: str, clip: str) -> None:
    """Name a datablock and mark it as a part of a result."""
    datablock.name = f"{part} - {result}" if part else result
    datablock[_CLIP], datablock[_RESULT], datablock[_PART] = clip, result, part
    datablock[_NAME], datablock[_IDENTITY] = datablock.name, _identity(datablock)


def unmark(datablock: bpy.types.ID) -> None:
    """Make a datablock the user's."""
    for key in _MARKS:
        if key in datablock:
            del datablock[key]


def unmark_copies() -> None:
    """Remove the marks of datablocks that belong to the user, before a file is saved."""
    for datablock in _all_datablocks():
        if _IDENTITY in datablock and _is_local(datablock) and not is_owned(datablock):
            unmark(datablock)


def renew_marks() -> None:
    """Renew the marks of all datablocks after a file was opened.

    If a copy was saved with its marks, which happens without the extension and in automatically
    saved files, the datablock that has kept its name is taken for the original.
    """
    candidates: dict[tuple, list[bpy.types.ID]] = defaultdict(list)
    for datablock in _all_datablocks():
        if _IDENTITY in datablock and _is_local(datablock):
            key = (datablock.id_type, *(datablock.get(mark) for mark in (_RESULT, _CLIP, _PART)))
            candidates[key].append(datablock)
    for same in candidates.values():
        if not any(is_owned(datablock) for datablock in same):
            original = min(same, key=_distance_from_original)
            original[_IDENTITY] = _identity(original)


def remove(
    previous: bpy.types.Collection,
    successor: bpy.types.Collection,
    new_datablocks: Iterable[bpy.types.ID],
) -> None:
    """Remove a result with all its datablocks; another one, without final names, succeeds it.

    References to an object of the previous result (from a constraint, a child, the scene's
    camera, a collection) point at the new object of the same part afterwards, and so do those to
    its materials and pictures. What the user has put into its collection is moved to the new one.

    Args:
        previous: collection of the result.
        successor: collection of the new result.
        new_datablocks: of the new result.
    """
    result = result_name(previous)
    owned = datablocks(result)
    objects = [obj for (kind, _), obj in owned.items() if kind == "OBJECT"]
    for obj in set(previous.objects) - set(objects):
        successor.objects.link(obj)
    for child in previous.children:
        successor.children.link(child)
    for datablock in new_datablocks:
        part = datablock.name.removeprefix(successor.name).strip()
        predecessor = owned.get((datablock.id_type, part))
        if predecessor and datablock.id_type in _REMAPPED:
            predecessor.user_remap(datablock)
    bpy.data.batch_remove([*objects, previous])
    while unused := [item for item in datablocks(result).values() if not item.users]:
        bpy.data.batch_remove(unused)
    for datablock in datablocks(result).values():
        unmark(datablock)  # the user's datablocks need it


def _continues(text: str, index: int) -> bool:
    """Return whether a character is displayed together with the one before it."""
    return "\u200d" in text[index - 1 : index + 1] or unicodedata.category(text[index])[0] == "M"


def _identity(datablock: bpy.types.ID) -> str:
    return f"{_RUN} {datablock.session_uid}"


def _distance_from_original(datablock: bpy.types.ID) -> tuple[bool, bool, int, str]:
    """Return a key that sorts the original before its copies."""
    number = datablock[_IDENTITY].split()[-1]  # valid if the extension alone was loaded again
    is_copy, is_renamed = number != str(datablock.session_uid), datablock.name != datablock[_NAME]
    return is_copy, is_renamed, len(datablock.name), datablock.name


def _is_local(datablock: bpy.types.ID) -> bool:
    return datablock.library is None and datablock.override_library is None


def _all_datablocks() -> Iterator[bpy.types.ID]:
    for collection in bpy.data.bl_rna.properties:
        if collection.type == "COLLECTION":
            yield from getattr(bpy.data, collection.identifier)
