"""The list of pretrained networks: what each file must be, so that nothing else is ever loaded."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInputError

MANIFEST = "manifest.json"
FETCH = "run 'make setup' to fetch it"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of the folder of networks and where it came from."""

    file: str
    sha256: str
    bytes: int
    origin: str  # registry and package
    version: str
    member: str  # path inside the package
    licence: str


def read_manifest(folder: Path) -> dict[str, Entry]:
    """Entries by the file's name; BadInputError if the list cannot be read."""
    try:
        rows = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return {row["file"]: Entry(**row) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(
            f"The list of networks {folder / MANIFEST} cannot be read: restore it from the release."
        ) from error


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verified(folder: Path, name: str) -> Path:
    """Path of a network that is what the list says; BadInputError if it is missing or another."""
    path, entry = folder / name, read_manifest(folder).get(name)
    if entry is None:
        raise BadInputError(f"The network {name} is not in {folder / MANIFEST}: {FETCH}.")
    if not path.is_file():
        raise BadInputError(f"The network {path} is missing: {FETCH}.")
    if sha256_of(path) != entry.sha256:
        raise BadInputError(f"The network {path} is damaged: delete it and {FETCH} again.")
    return path
