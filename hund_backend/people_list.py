"""People list: who a quick look found in a clip, and who of them is chosen. Imports no torch.

A list is a JSON file:

    {"schema": 1, "clip": path, "duration": seconds, "people": [person, …]}, by importance;
    person: {"id": whole number, "picture": file name, "presence": 0…1, "size": 0…1,
             "first": seconds, "last": seconds, "static": bool, "confidence": 0…1, "chosen": bool,
             "boxes": [[seconds, x0, y0, x1, y1], …]}

Seconds are the clip's own. Boxes surround the keypoints, in pixels of the upright picture. A
program that edits `chosen` leaves the rest as it is.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .atomic_write import write_file
from .errors import BadInputError

SCHEMA = 1
FILE_NAME = "people.json"


@dataclass(frozen=True, kw_only=True)
class ListedPerson:
    """One person whom a quick look found."""

    id: int  # number in the list, from 1
    picture: str  # name of the thumbnail's file, beside the list
    presence: float  # share of the clip's frames in which the person is in view, 0…1
    size: float  # mean height of the boxes, in heights of the picture
    first: float  # seconds
    last: float  # seconds
    static: bool  # whether this is a still figure: a poster, a mannequin, a screen
    confidence: float  # that this is a person, 0…1
    chosen: bool = True
    boxes: tuple[tuple[float, float, float, float, float], ...]  # seconds, x0, y0, x1, y1 in px

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ListedPerson":
        """Read a person of a list.

        Raises:
            ValueError, TypeError, KeyError: it is none.
        """
        boxes = tuple(tuple(float(number) for number in box) for box in values["boxes"])
        if any(len(box) != 5 or not all(map(math.isfinite, box)) for box in boxes):
            raise ValueError("a box has five numbers")
        if not isinstance(values.get("chosen", True), bool):
            raise TypeError("chosen is true or false")
        return cls(
            id=int(values["id"]),
            picture=str(values.get("picture", "")),
            presence=float(values.get("presence", 0)),
            size=float(values.get("size", 0)),
            first=float(values.get("first", 0)),
            last=float(values.get("last", 0)),
            static=bool(values.get("static", False)),
            confidence=float(values.get("confidence", 0)),
            chosen=values.get("chosen", True),
            boxes=boxes,
        )


@dataclass(frozen=True, kw_only=True)
class PeopleList:
    """People whom a quick look found in a clip, the most important first."""

    clip: str  # path
    duration: float  # seconds
    people: tuple[ListedPerson, ...]

    def save(self, path: Path) -> None:
        """Write the list.

        Raises:
            BadInputError: the folder cannot be written to.
        """
        values = {"schema": SCHEMA, **asdict(self)}
        write_file(path, (json.dumps(values, ensure_ascii=False) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> "PeopleList":
        """Read a list.

        Raises:
            BadInputError: the file is missing or holds no list.
        """
        advice = "list the people of the clip again."
        try:
            values = json.loads(path.read_bytes())
            if values["schema"] != SCHEMA:
                raise BadInputError(f"{path.name} is of another version of HUND: {advice}")
            return cls(
                clip=str(values["clip"]),
                duration=float(values["duration"]),
                people=tuple(ListedPerson.from_json(person) for person in values["people"]),
            )
        except OSError as error:
            raise BadInputError(f"{path} cannot be read ({error.strerror}): {advice}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadInputError(f"{path.name} holds no list of people: {advice}") from error

    @classmethod
    def load_for(cls, path: Path, clip: Path) -> "PeopleList":
        """Read the list of a clip, somebody of which is chosen.

        Raises:
            BadInputError: there is none, it is another clip's, or nobody is chosen.
        """
        found = cls.load(path)
        if Path(found.clip).name != clip.name:
            raise BadInputError(
                f"{path.name} lists the people of {Path(found.clip).name}, not of {clip.name}: "
                "list the people of this clip."
            )
        if found.people and not any(person.chosen for person in found.people):
            raise BadInputError(f"{path.name} chooses nobody: choose at least one person.")
        return found
