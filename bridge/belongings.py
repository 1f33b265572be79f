"""Belongings: which datablocks of a file were made of a clip, and how new ones take their place.

What the user added, copied or renamed is the user's and stays.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import bpy

ASIDE = "~"  # what is being built has a name that begins so: the name wanted may still be taken
_CLIP = "hund_clip"  # properties of a datablock of ours: the clip it was made of,
_PART = "hund_part"  # what it is in the clip's collection,
_NAME = "hund_name"  # and the name it was given; a copy's name is another
_PERSON = re.compile(r"Person (\d+)")  # an armature's part


@contextmanager
def aside() -> Iterator[set[bpy.types.ID]]:
    """Collect the datablocks that are made meanwhile; if that fails, remove them."""
    before = set(bpy.data.user_map())
    made: set[bpy.types.ID] = set()
    try:
        yield made
    except BaseException:
        bpy.data.batch_remove(set(bpy.data.user_map()) - before)
        raise
    made |= set(bpy.data.user_map()) - before


def newest(scene: bpy.types.Scene, clip: str) -> bpy.types.Collection | None:
    """The last collection in a scene that was made of a clip."""
    made = [c for c in scene.collection.children_recursive if c.get(_CLIP) == clip]
    return made[-1] if made else None


def is_ours(datablock: bpy.types.ID, clip: str) -> bool:
    """Whether we made this datablock of the clip and nobody has copied or renamed it since."""
    is_made = datablock.get(_CLIP) == clip and datablock.get(_NAME) == datablock.name
    return is_made and datablock.library is None


def people(scene: bpy.types.Scene, name: str) -> dict[int, bpy.types.Object]:
    """Armatures of the collection that was made under a name, by the person's index.

    Both may have been renamed since. Where there are copies, it is the one that has kept its name.
    """
    made = [c for c in scene.collection.children_recursive if c.get(_NAME) == name]
    found: dict[int, bpy.types.Object] = {}
    for collection in sorted(made, key=lambda made: made.name == name)[-1:]:
        for obj in sorted(collection.all_objects, key=lambda obj: obj.get(_NAME) == obj.name):
            part = _PERSON.fullmatch(obj.get(_PART, ""))
            is_made = obj.get(_CLIP) == collection.get(_CLIP) and obj.library is None
            if part and is_made and obj.type == "ARMATURE":
                found[int(part[1]) - 1] = obj
    return found


def settle(made: Iterable[bpy.types.ID], collection: bpy.types.Collection, clip: str) -> None:
    """Give what was built aside its names, and note that it is ours."""
    parts = {datablock: _part(datablock, collection) for datablock in made}
    for datablock, part in parts.items():
        datablock.name = datablock.name.removeprefix(ASIDE)
        datablock[_CLIP], datablock[_PART], datablock[_NAME] = clip, part, datablock.name
        for slot in getattr(datablock, "slots", ()):  # of an action, since Blender 4.4
            slot.name_display = slot.name_display.removeprefix(ASIDE)


def replace(earlier: bpy.types.Collection, collection: bpy.types.Collection, clip: str) -> None:
    """Put what was built aside in the place of an earlier collection.

    What pointed at an object of the earlier one (a constraint, a child, the scene's camera, a
    collection) points at its successor afterwards.
    """
    successors = {_part(obj, collection): obj for obj in collection.objects}
    former = [obj for obj in earlier.objects if is_ours(obj, clip)]
    for obj in set(earlier.objects) - set(former):
        collection.objects.link(obj)
    for child in earlier.children:
        collection.children.link(child)
    for obj in former:
        if obj[_PART] in successors:
            obj.user_remap(successors[obj[_PART]])
    earlier.user_remap(collection)
    bpy.data.batch_remove([*former, earlier])
    _remove_unused(clip)


def _part(datablock: bpy.types.ID, collection: bpy.types.Collection) -> str:
    """What a datablock built aside is in its collection: its name without the clip's."""
    return datablock.name.removeprefix(collection.name).strip()


def _remove_unused(clip: str) -> None:
    """Remove our datablocks that nothing uses any more, until there are none."""
    while unused := [id_ for id_ in bpy.data.user_map() if not id_.users and is_ours(id_, clip)]:
        bpy.data.batch_remove(unused)
