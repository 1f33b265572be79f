"""The cache: where what is fetched once is kept for every checkout."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return $HUND_CACHE, else `hund` in the user's cache folder."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("HUND_CACHE") or user / "hund")
