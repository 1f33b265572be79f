"""Provenance: what a result was made from and with."""

import hashlib
import platform
from pathlib import Path
from typing import Any

from . import __version__
from .perception.manifest import read_manifest
from .sources import source_files

WEIGHTS = Path(__file__).parent / "weights"
PERCEPTION = WEIGHTS / "perception"
OURS = (
    "body.npz",
    "pose_flow.safetensors",
    "dynamics.safetensors",
    "hund.safetensors",
)  # built or learned in this project


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def clip_hash(clip: Path) -> str:
    """SHA-256 of a clip; of a sequence, of its pictures one after the other."""
    files = source_files(clip)
    if len(files) == 1:
        return file_hash(files[0])
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def weights_hashes() -> dict[str, str]:
    """SHA-256 of everything that was learned or built, by file name.

    The networks' are those of the manifest, which loading them has compared.
    """
    made_here = {name: file_hash(WEIGHTS / name) for name in OURS}
    fetched = {name: entry.sha256 for name, entry in read_manifest(PERCEPTION).items()}
    return made_here | fetched


def provenance_of(source: Path, device: str, options: dict[str, Any]) -> dict[str, Any]:
    """What stands in a Reconstruction's provenance whatever was found in the clip."""
    return {
        "source": {"name": source.name or source.resolve().name, "sha256": clip_hash(source)},
        "hund": __version__,
        "python": platform.python_version(),
        "weights": weights_hashes(),
        "device": device,
        "options": {key: value for key, value in options.items() if value not in (None, ())},
    }
