"""The list of pretrained networks: what each file must be, so that nothing else is ever loaded."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInputError

MANIFEST = "manifest.json"
MANIFEST_FORMAT = "hund-networks/1"
FETCH = "run 'make setup' to fetch it"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of the folder of networks and where it came from."""

    file: str
    sha256: str
    bytes: int
    origin: str  # registry and package
    version: str
    members: tuple[str, ...]  # paths inside the package of what the file was made from
    licence: str


def read_manifest(folder: Path) -> dict[str, Entry]:
    """Entries by the file's name; BadInputError if the list cannot be read."""
    try:
        fields = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        entries = [Entry(**{**row, "members": tuple(row["members"])}) for row in fields["files"]]
        return {entry.file: entry for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(
            f"The list of networks {folder / MANIFEST} cannot be read: restore it from the release."
        ) from error


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_whole(path: Path, entry: Entry) -> bool:
    """Whether a file is there and is what the list says."""
    return path.is_file() and sha256_of(path) == entry.sha256


def verified(folder: Path, name: str) -> Path:
    """Path of a network that is what the list says; BadInputError if it is missing or another."""
    path, entry = folder / name, read_manifest(folder).get(name)
    if entry is None:
        raise BadInputError(f"The network {name} is not in {folder / MANIFEST}: {FETCH}.")
    if not path.is_file():
        raise BadInputError(f"The network {path} is missing: {FETCH}.")
    if not is_whole(path, entry):
        raise BadInputError(f"The network {path} is damaged: delete it and {FETCH} again.")
    return path
