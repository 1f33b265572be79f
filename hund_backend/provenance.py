"""Provenance: what a result was made from and with."""

import hashlib
import platform
from pathlib import Path
from typing import Any

from . import __version__
from .body.file import BODY_FILE
from .perception.manifest import read_manifest
from .prior.gaussian import WEIGHTS_FILE

PERCEPTION = BODY_FILE.parent / "perception"


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def weights_hashes() -> dict[str, str]:
    """SHA-256 of everything that was learned or built, by file name.

    The networks' are those of the manifest, which loading them has compared.
    """
    made_here = {path.name: file_hash(path) for path in (BODY_FILE, WEIGHTS_FILE)}
    fetched = {name: entry.sha256 for name, entry in read_manifest(PERCEPTION).items()}
    return made_here | fetched


def provenance_of(source: Path, device: str, options: dict[str, Any]) -> dict[str, Any]:
    """What stands in a Reconstruction's provenance whatever was found in the clip."""
    return {
        "source": {
            "name": source.name,
            "sha256": file_hash(source) if source.is_file() else None,
        },
        "hund": __version__,
        "python": platform.python_version(),
        "weights": weights_hashes(),
        "device": device,
        "options": {key: value for key, value in options.items() if value not in (None, ())},
    }
