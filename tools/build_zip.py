"""Build the extension's zips: `python -m tools.build_zip [light] [full]` (what `make zip` runs).

light: works with every Blender from 4.2; a backend interpreter is set in its preferences.
full: holds the backend's packages for Blender's own Python 3.11 (4.2 to 5.0) on 64-bit Linux.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

from hund_backend.atomic_write import atomic_write
from hund_backend.errors import HundError
from hund_backend.perception.manifest import MANIFEST, read_manifest

from . import fetch_wheels

ROOT = Path(__file__).parents[1]
KINDS = ("light", "full")
SOURCES = (
    "__init__.py",
    "handlers.py",
    "pin_properties.py",
    "preferences.py",
    "properties.py",
    "retarget_properties.py",
)
FILES = (*SOURCES, "LICENSE", "NOTICE.md", "README.md", "requirements/runtime.in")
FOLDERS = ("bridge", "hund_backend", "operators", "panels")
WEIGHTS = "hund_backend/weights"
PRESETS = "bridge/retarget/presets"
PERCEPTION = f"{WEIGHTS}/perception"
# What only training and measuring use; "*" matches "/", too.
REPOSITORY_ONLY = (
    "hund_backend/evaluation/*",
    "hund_backend/training/*",
    "hund_backend/prior/coupling_flow.py",
    "hund_backend/prior/gaussian.py",
    "hund_backend/rendering/part_renderer.py",
    f"{WEIGHTS}/pose_gaussian.*",
)
IN_BLENDER = {"jaxtyping", "wadler_lindig"}  # what reading a Reconstruction needs
# Beside the wheels that Blender installs for all extensions: an older numpy is part of Blender's
# own Python and of other add-ons there, so only the backend imports ours (bridge/backend.py).
UNPACKED = {"numpy"}
FULL = 'blender_version_max = "5.1.0"\nplatforms = ["linux-x64"]'
WHEELS_LINE = re.compile(r"^wheels = \[\]$", re.MULTILINE)


class BuildError(Exception):
    """The zip cannot be built: one sentence."""


def packed_files() -> list[str]:
    """Return the files of the repository that go into every zip beside the manifest, sorted.

    Raises:
        BadInputError: the list of pretrained networks cannot be read.
    """
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    paths += (ROOT / PRESETS).glob("*.json")
    paths += [path for path in (ROOT / WEIGHTS).iterdir() if path.is_file()]
    paths += [ROOT / PERCEPTION / name for name in (MANIFEST, *read_manifest(ROOT / PERCEPTION))]
    files = {*FILES, *(path.relative_to(ROOT).as_posix() for path in paths)}
    return sorted(file for file in files if not is_repository_only(file))


def is_repository_only(file: str) -> bool:
    """Return whether a file of the repository stays out of the zips."""
    return any(fnmatchcase(file, pattern) for pattern in REPOSITORY_ONLY)


def build(kind: str, output: Path) -> Path:
    """Build, validate and check one zip.

    Raises:
        BuildError: Blender's builder is missing or refuses, or the zip holds other files than it
            should.
        BadInputError: the output folder cannot be written to, or the disk is full.
    """
    version = tomllib.loads((ROOT / "blender_manifest.toml").read_text())["version"]
    suffix = "" if kind == "light" else "-linux-x64"
    target = output / f"hund-{version}-{kind}{suffix}.zip"
    output.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=output, prefix=".stage-") as folder,
        atomic_write(target) as [part],
    ):
        stage = Path(folder) / "hund"
        _fill(stage, kind)
        _blender_ext("validate", str(stage))
        _blender_ext("build", "--source-dir", str(stage), "--output-filepath", str(part))
        _check(part, stage)
    return target


def _fill(stage: Path, kind: str) -> None:
    """Lay out everything that goes in."""
    files = packed_files()
    if missing := [file for file in files if not (ROOT / file).is_file()]:
        raise BuildError(f"There is no {', '.join(missing)}: run 'make setup' first.")
    for file in files:
        _link(ROOT / file, stage / file)
    wheels = sorted(fetch_wheels.WHEELS.glob("*.whl"))
    packed = [wheel for wheel in wheels if _package(wheel) in IN_BLENDER]
    if kind == "full":
        packed = [wheel for wheel in wheels if _package(wheel) not in UNPACKED]
        for wheel in set(wheels) - set(packed):
            fetch_wheels.unpack(wheel, stage / "packages")
    for wheel in packed:
        _link(wheel, stage / "wheels" / wheel.name)
    manifest = (ROOT / "blender_manifest.toml").read_text()
    lines = "\n".join(f'  "./wheels/{wheel.name}",' for wheel in packed)
    listed = f"wheels = [\n{lines}\n]" + (f"\n{FULL}" if kind == "full" else "")
    if len(WHEELS_LINE.findall(manifest)) != 1:
        raise BuildError("blender_manifest.toml should have one line 'wheels = []'.")
    (stage / "blender_manifest.toml").write_text(WHEELS_LINE.sub(listed, manifest))


def _link(source: Path, target: Path) -> None:
    """Copy without copying, where the file system can."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _package(wheel: Path) -> str:
    return wheel.name.split("-")[0].lower()


def _blender_ext(*arguments: str) -> None:
    """Run Blender's own tool for extensions, which works in any Python."""
    pattern = (
        ".venv-blender-*/lib/*/site-packages/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py"
    )
    found = sorted(ROOT.glob(pattern))
    if not found:
        raise BuildError("Blender's builder is missing: run 'make blender-setup' first.")
    command = [sys.executable, str(found[-1]), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    # It returns 0 for some errors and only prints them.
    if answer.returncode or "error" in (answer.stdout + answer.stderr).lower():
        raise BuildError(f"blender_ext {arguments[0]}: {answer.stdout}{answer.stderr}".strip())


def _check(path: Path, stage: Path) -> None:
    """Check that a zip holds what was laid out."""
    with zipfile.ZipFile(path) as archive:
        found = {name for name in archive.namelist() if not name.endswith("/")}
    expected = {file.relative_to(stage).as_posix() for file in stage.rglob("*") if file.is_file()}
    for names, what in ((found - expected, "holds"), (expected - found, "lacks")):
        if names:
            raise BuildError(f"{path.name} {what} {', '.join(sorted(names)[:5])}.")


def describe(path: Path) -> str:
    """Return the content of a zip by folder, with sizes."""
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    with zipfile.ZipFile(path) as archive:
        for item in archive.infolist():
            parts = item.filename.split("/")
            folder = "/".join(parts[:2]) if parts[:2] == ["hund_backend", "weights"] else parts[0]
            sizes[folder] += item.compress_size
            counts[folder] += not item.is_dir()
    lines = [f"{path.name}: {path.stat().st_size / 1e6:.1f} MB"]
    lines += [
        f"  {size / 1e6:7.2f} MB  {counts[folder]:5d}  {folder}"
        for folder, size in sizes.most_common()
    ]
    return "\n".join(lines)


def main() -> int:
    """Fetch the wheels, build, describe; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="light|full", help="default: both")
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    arguments = parser.parse_args()
    if unknown := set(arguments.kinds) - set(KINDS):
        parser.error(f"there is no such zip: {', '.join(unknown)}")
    try:
        fetch_wheels.fetch()
        for kind in arguments.kinds or KINDS:
            print(describe(build(kind, arguments.output)))
    except (BuildError, HundError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
