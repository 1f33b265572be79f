"""Found people: a quick look lists who is in a clip, and the user chooses.

The list and its pictures are files in a folder of the clip's own. The pictures are previews in
memory, made when they are drawn first.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import bpy.utils.previews

from ..hund_backend.errors import BadInputError, ExitCode
from ..hund_backend.people_list import ListedPerson, PeopleList
from . import job
from .backend import JobError

_CHOICE = "chosen.json"

_previews: bpy.utils.previews.ImagePreviewCollection | None = None


def task(clip: Path, cache: Path, options: Mapping[str, Any]) -> job.Task:
    """Return the task that lists the people of a clip.

    Args:
        clip: may be a pattern.
        cache: folder of reconstructions.
        options: of the request.
    """
    key = hashlib.sha256(str(clip.absolute()).encode()).hexdigest()[:12]
    return job.Task(command="people", clip=clip, output=cache / "people" / key, options=options)


def load(path: Path) -> tuple[ListedPerson, ...]:
    """Return the people of a list.

    Raises:
        JobError: the file cannot be used.
    """
    return _load(path).people


def write_choice(path: Path, chosen: Collection[int]) -> Path:
    """Write a list with a choice beside it; return its file.

    Args:
        path: of the list.
        chosen: numbers of people.

    Raises:
        JobError: the list is gone, or the folder cannot be written to.
    """
    listed = _load(path)
    people = tuple(replace(person, chosen=person.id in chosen) for person in listed.people)
    target = path.with_name(_CHOICE)
    try:
        replace(listed, people=people).save(target)
    except BadInputError as error:
        raise JobError(str(error), ExitCode.BAD_INPUT) from error
    return target


def icon(path: Path) -> int:
    """Return the number of a picture's icon; 0 if there is none."""
    global _previews
    try:
        name = f"{path} {path.stat().st_mtime_ns}"
    except OSError:
        return 0
    if _previews is None:
        _previews = bpy.utils.previews.new()
    preview = _previews.get(name) or _previews.load(name, str(path), "IMAGE")
    return preview.icon_id


def close() -> None:
    """Free the pictures."""
    global _previews
    if _previews is not None:
        bpy.utils.previews.remove(_previews)
        _previews = None


def _load(path: Path) -> PeopleList:
    try:
        return PeopleList.load(path)
    except BadInputError as error:
        message = "The list of people is gone: press Find People again."
        raise JobError(message, ExitCode.BAD_INPUT) from error
