"""Files of weights: their hashes, which of them were loaded, and errors in loading them.

Imports no package that is not always there: the doctor runs where packages are missing.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import BadInputError

WEIGHTS = Path(__file__).parent / "weights"

_recordings: list[dict[str, str]] = []  # the open ones, the innermost last


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def record_loaded() -> Iterator[dict[str, str]]:
    """Record which weights are loaded within.

    Yields:
        SHA-256 of every file that was loaded so far, by file name.
    """
    loaded: dict[str, str] = {}
    _recordings.append(loaded)
    try:
        yield loaded
    finally:
        _recordings.pop()


def note_loaded(path: Path, sha256: str | None = None) -> None:
    """Enter a file of weights into the open recordings.

    Args:
        path: of the file.
        sha256: of the file, where it is known already.
    """
    if _recordings:
        sha256 = sha256 or sha256_of(path)
    for loaded in _recordings:
        loaded[path.name] = sha256


@contextmanager
def load_weights(label: str, path: Path) -> Iterator[None]:
    """Load weights and their description within; they are recorded as loaded.

    Args:
        label: what the weights are, with a capital letter.
        path: of the weights.

    Raises:
        BadInputError: a file is missing, damaged or of something else.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise BadInputError(
            f"{label} {path} cannot be read ({reason}); restore the file from the project."
        ) from error
    note_loaded(path)
