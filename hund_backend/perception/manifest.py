"""Manifest of the pretrained networks: only files with the listed SHA-256 are ever loaded."""

import json
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInputError
from ..weights_file import note_loaded, sha256_of

MANIFEST = "manifest.json"
MANIFEST_FORMAT = "hund-networks/1"
FETCH = "run 'make setup', or install the extension again"


@dataclass(frozen=True, kw_only=True)
class ManifestEntry:
    """One file of the folder of networks and its origin."""

    file: str
    sha256: str
    bytes: int
    origin: str  # registry and package
    version: str
    members: tuple[str, ...]  # paths inside the package that the file was converted from
    licence: str


def read_manifest(folder: Path) -> dict[str, ManifestEntry]:
    """Return the entries by file name.

    Raises:
        BadInputError: the manifest cannot be read.
    """
    try:
        fields = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        rows = [{**row, "members": tuple(row["members"])} for row in fields["files"]]
        return {row["file"]: ManifestEntry(**row) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(
            f"The list of networks {folder / MANIFEST} cannot be read: restore it from the release."
        ) from error


def is_intact(path: Path, entry: ManifestEntry) -> bool:
    """Return whether a file exists and has the listed SHA-256."""
    return path.is_file() and sha256_of(path) == entry.sha256


def verified_path(folder: Path, name: str) -> Path:
    """Return the path of a network's file, to be loaded, after a check of its SHA-256.

    Raises:
        BadInputError: the file is missing, damaged or not in the manifest.
    """
    path, entry = folder / name, read_manifest(folder).get(name)
    if entry is None:
        raise BadInputError(f"The network {name} is not in {folder / MANIFEST}: {FETCH}.")
    if not path.is_file():
        raise BadInputError(f"The network {path} is missing: {FETCH}.")
    if not is_intact(path, entry):
        raise BadInputError(f"The network {path} is damaged: delete it and {FETCH}.")
    note_loaded(path, entry.sha256)
    return path
