"""Provenance: what a result was made from and with."""

import hashlib
import platform
from pathlib import Path
from typing import Any

from . import __version__
from .sources import source_files
from .weights_file import sha256_of


def clip_hash(clip: Path) -> str:
    """SHA-256 of a clip; of a sequence, of its pictures one after the other."""
    files = source_files(clip)
    if len(files) == 1:
        return sha256_of(files[0])
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def source_of(clip: Path) -> dict[str, str]:
    """Return the provenance of a clip: its name and its hash."""
    return {"name": clip.name or clip.resolve().name, "sha256": clip_hash(clip)}


def provenance_of(
    source: dict[str, str], device: str, options: dict[str, Any], weights: dict[str, str]
) -> dict[str, Any]:
    """Return the part of a Reconstruction's provenance that is known before the work.

    Args:
        source: of the clip (see `source_of`).
        device: that the work is done on.
        options: the user's choices; those that are None or empty are left out.
        weights: SHA-256 of the weights that were loaded, by file name.
    """
    return {
        "source": source,
        "hund": __version__,
        "python": platform.python_version(),
        "weights": weights,
        "device": device,
        "options": {key: value for key, value in options.items() if value not in (None, ())},
    }
