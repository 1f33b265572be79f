"""Fetch panoramas and photographs for synthetic pictures: `python -m tools.fetch_scenery`.

All come from pinned packages, checked by their SHA-256, are scaled down and written to the cache
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

MAX_SIDE_PX = 768
EXCLUDED_TEXTURES = {"can", "cereal", "soda", "glass"}  # branded goods, and a plain green


class FetchError(Exception):
    """A package cannot be fetched; the text is one sentence for the user."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """A pinned package of a registry."""

    registry: str  # "pip" or "npm"
    name: str
    version: str
    sha256: str  # of the archive
    options: tuple[str, ...] = ()  # of the client


_PYTHON_38 = ("--only-binary=:all:", "--platform=manylinux1_x86_64", "--python-version=3.8")
_PYTHON_39 = ("--only-binary=:all:", "--platform=manylinux2014_x86_64", "--python-version=3.9")
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
PHOTOGRAPHS = Package(  # PHOTOGRAPH_FILES: CC0, the rocket (SpaceX) public domain
    registry="pip",
    name="scikit-image",
    version="0.17.2",
    sha256="178210582cc62a5b25c633966658f1f2598615f9c3f27f36cf45055d2a74b401",
    options=_PYTHON_38,
)
SAMPLES = Package(  # CC BY 2.0: china by danielbuechele, flower by vultilion
    registry="pip",
    name="scikit-learn",
    version="1.3.2",
    sha256="763f0ae4b79b0ff9cca0bf3716bcc9915bdacff3cebea15ec79652d1cc4fa5c9",
    options=_PYTHON_39,
)
RACCOON = Package(  # public domain
    registry="pip",
    name="scipy",
    version="1.9.3",
    sha256="c68db6b290cbd4049012990d7fe71a2abd9ffbe82c0056ebe0f01df8be5436b0",
    options=(*_PYTHON_39, "--platform=manylinux_2_17_x86_64"),
)
PHOTOGRAPH_FILES = (
    "coffee.png",
    "chelsea.png",
    "rocket.jpg",
    "brick.png",
    "grass.png",
    "gravel.png",
)


def fetch_scenery(folder: Path) -> None:
    """Write all panoramas and photographs into a folder.

    Raises:
        FetchError: a package cannot be fetched or has another SHA-256.
    """
    with tempfile.TemporaryDirectory() as downloads:
        for name, radiance in _panoramas(_fetch_archive(PANORAMAS, Path(downloads))):
            buffer = io.BytesIO()
            np.save(buffer, radiance.astype(np.float16), allow_pickle=False)
            write_file(folder / "panoramas" / f"{name}.npy", buffer.getvalue())
        for name, pixels in _photographs(Path(downloads)):
            png = cv2.imencode(".png", _scaled_down(pixels))[1].tobytes()
            write_file(folder / "photographs" / f"{name}.png", png)


def _fetch_archive(package: Package, folder: Path) -> Path:
    """Download a package into its own subfolder and return the archive."""
    target = folder / package.name.strip("@").replace("/", "-")
    target.mkdir()
    if package.registry == "npm":
        npm = shutil.which("npm")
        if npm is None:
            raise FetchError("npm is missing: install Node.js with npm and run this again.")
        spec = f"{package.name}@{package.version}"
        command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", str(target)]
    else:
        spec = f"{package.name}=={package.version}"
        command = [sys.executable, "-m", "pip", "--quiet", "download", "--no-deps"]
        command += ["--dest", str(target), *package.options]
    result = subprocess.run([*command, spec], cwd=target, capture_output=True, check=False)
    archives = list(target.iterdir())
    if result.returncode or not archives:
        raise FetchError(f"{spec} could not be fetched: check the network and try again.")
    if hashlib.sha256(archives[0].read_bytes()).hexdigest() != package.sha256:
        raise FetchError(f"{spec} has another SHA-256 than the pinned package: do not use it.")
    return archives[0]


def _panoramas(archive: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and radiance (height, width, RGB) of the panoramas: base64 in JavaScript."""
    import OpenEXR  # not among the project's dependencies

    with tarfile.open(archive) as package, tempfile.TemporaryDirectory() as folder:
        for member in package:
            path = PurePosixPath(member.name)
            if path.parent.name != "hdri" or not path.name.endswith(".exr.js"):
                continue
            text = package.extractfile(member).read().decode()
            exr = Path(folder) / "panorama.exr"
            exr.write_bytes(base64.b64decode(re.search(r"base64,([\w+/=]+)", text)[1]))
            with OpenEXR.File(str(exr)) as file:
                yield path.name.removesuffix(".exr.js"), file.channels()["RGB"].pixels


def _photographs(downloads: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and pixels (BGR) of the photographs."""
    with zipfile.ZipFile(_fetch_archive(TEXTURES, downloads)) as wheel:
        for member in map(PurePosixPath, wheel.namelist()):
            if member.parent.name == "textures" and member.stem not in EXCLUDED_TEXTURES:
                yield member.stem, _decode_image(wheel.read(str(member)))
    with zipfile.ZipFile(_fetch_archive(PHOTOGRAPHS, downloads)) as wheel:
        for name in PHOTOGRAPH_FILES:
            yield name[:-4], _decode_image(wheel.read(f"skimage/data/{name}"))
    with zipfile.ZipFile(_fetch_archive(SAMPLES, downloads)) as wheel:
        for name in ("china", "flower"):
            yield name, _decode_image(wheel.read(f"sklearn/datasets/images/{name}.jpg"))
    with zipfile.ZipFile(_fetch_archive(RACCOON, downloads)) as wheel:
        pixels = np.frombuffer(bz2.decompress(wheel.read("scipy/misc/face.dat")), np.uint8)
        yield "raccoon", pixels.reshape(768, 1024, 3)[..., ::-1]


def _decode_image(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def _scaled_down(pixels: np.ndarray) -> np.ndarray:
    factor = MAX_SIDE_PX / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def main() -> int:
    """Fetch the scenery into the cache; exit code 1 and one line on stderr if that fails."""
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
