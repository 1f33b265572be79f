"""The cache: where what is fetched once is kept for every checkout."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """$HUND_CACHE, else `hund` in the user's cache folder."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("HUND_CACHE") or user / "hund")


def write_aside(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; a second process may do the same at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
