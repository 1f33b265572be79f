"""Atomic file writing: a file beside the target is written first, then renamed to it."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import BadInputError

MAX_STEM = 40  # characters of the target's name in the part's, so that any name has room


@contextlib.contextmanager
def atomic_write(*targets: Path) -> Iterator[list[Path]]:
    """Replace files by new ones once all of them are written.

    Folders that are missing are made. Whatever happens within, the targets are as they were, and
    nothing else is left behind.

    Args:
        targets: the files to write.

    Yields:
        Paths to write to instead, one for each target, in its folder and with its suffix.

    Raises:
        BadInputError: a folder cannot be written to, or the disk is full.
    """
    parts = [_part(target) for target in targets]
    try:
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir():
                raise OSError(f"{target.name} is a folder")
        yield parts
        for part in parts:
            _sync(part)
        for part, target in zip(parts, targets, strict=True):
            part.replace(target)
    except OSError as error:
        names = " and ".join(str(target) for target in targets)
        raise BadInputError(
            f"{names} cannot be written ({error.strerror or error}): "
            "make room or choose another folder."
        ) from error
    finally:
        for part in parts:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def write_file(target: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        BadInputError: the folder cannot be written to, or the disk is full.
    """
    with atomic_write(target) as [part]:
        part.write_bytes(content)


def check_writable(folder: Path) -> None:
    """Check that files can be written to a folder, which is made where it is missing.

    Raises:
        BadInputError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BadInputError(
            f"{folder} cannot be written to ({error.strerror or error}): choose another folder."
        ) from error


def _part(target: Path) -> Path:
    """Return an unused path: several processes may write one target at the same time."""
    name = f".{target.stem[:MAX_STEM]}-{secrets.token_hex(4)}.part{target.suffix}"
    return target.with_name(name)


def _sync(path: Path) -> None:
    """Wait until a file is on the disk: some file systems tell only then that there is no room."""
    with path.open("rb+") as written:
        os.fsync(written.fileno())
