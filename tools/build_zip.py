"""Build the extension's zips: `python -m tools.build_zip [ZIP …]` (what `make zip` runs).

light: works with every Blender from 4.2; a backend interpreter is set in its preferences.
<system>-blender-<versions>: holds the backend's packages for Blender's own Python, see
`zip_targets.py`.
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

from . import check_zip, fetch_wheels
from .slim_wheels import slim
from .zip_targets import PYTHONS, SECOND_PYTHON, TARGETS, Target

ROOT = Path(__file__).parents[1]
LIGHT = "light"
KINDS: dict[str, Target | None] = {LIGHT: None, **{target.name: target for target in TARGETS}}
MAX_MB = 330  # of a zip
SOURCES = (
    "__init__.py",
    "handlers.py",
    "pin_properties.py",
    "preferences.py",
    "properties.py",
    "retarget_properties.py",
)
FILES = (
    *SOURCES,
    "LICENSE",
    "NOTICE.md",
    "README.md",
    "requirements/runtime.in",
    "sample/LICENSE",
    "sample/walker.mp4",
)
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
WHEELS_LINE = re.compile(r"^wheels = \[\]$", re.MULTILINE)
OLDEST_LINE = re.compile(r'^blender_version_min = ".*"$', re.MULTILINE)


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

    Args:
        kind: a key of `KINDS`.
        output: folder for it.

    Raises:
        BuildError: Blender's builder is missing or refuses, or the zip holds other files than it
            should, or lacks what the backend imports.
        MissingWheelError: a package cannot be had for the zip's system.
        BadInputError: the output folder cannot be written to, or the disk is full.
    """
    version = tomllib.loads((ROOT / "blender_manifest.toml").read_text())["version"]
    wheels = fetch_wheels.fetch(KINDS[kind] or TARGETS[0])
    if not KINDS[kind]:
        wheels = [wheel for wheel in wheels if _package(wheel) in IN_BLENDER]
    wheels = [slim(wheel) for wheel in wheels]
    target = output / f"hund-{version}-{kind}.zip"
    output.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=output, prefix=".stage-") as folder,
        atomic_write(target) as [part],
    ):
        stage = Path(folder) / "hund"
        _fill(stage, wheels, KINDS[kind])
        _blender_ext("validate", str(stage))
        _blender_ext("build", "--source-dir", str(stage), "--output-filepath", str(part))
        _check(part, stage)
        if part.stat().st_size > MAX_MB * 1e6:
            raise BuildError(f"{target.name} is larger than {MAX_MB} MB.")
        if KINDS[kind] and (problems := check_zip.problems(part, KINDS[kind])):
            raise BuildError(f"{target.name}: {' '.join(problems[:10])}")
    return target


def _fill(stage: Path, wheels: list[Path], target: Target | None) -> None:
    """Lay out everything that goes in."""
    files = packed_files()
    if missing := [file for file in files if not (ROOT / file).is_file()]:
        raise BuildError(f"There is no {', '.join(missing)}: run 'make setup' first.")
    for file in files:
        _link(ROOT / file, stage / file)
    packed = [wheel for wheel in wheels if _package(wheel) not in UNPACKED]
    for wheel in set(wheels) - set(packed):
        fetch_wheels.unpack(wheel, stage / "packages")
    for wheel in packed:
        _link(wheel, stage / "wheels" / wheel.name)
    manifest = _manifest((ROOT / "blender_manifest.toml").read_text(), packed, target)
    (stage / "blender_manifest.toml").write_text(manifest)


def _manifest(manifest: str, packed: list[Path], target: Target | None) -> str:
    """Return the manifest of a zip: with its wheels, system and Blenders."""
    lines = "\n".join(f'  "./wheels/{wheel.name}",' for wheel in packed)
    listed = f"wheels = [\n{lines}\n]"
    if len(WHEELS_LINE.findall(manifest)) != 1 or len(OLDEST_LINE.findall(manifest)) != 1:
        raise BuildError(
            "blender_manifest.toml should have one line 'wheels = []' and one "
            "'blender_version_min = …'."
        )
    if target:
        listed += f'\nplatforms = ["{target.system}"]'
        if target.python == PYTHONS[0]:
            listed += f'\nblender_version_max = "{SECOND_PYTHON}"'
        else:
            manifest = OLDEST_LINE.sub(f'blender_version_min = "{SECOND_PYTHON}"', manifest)
    return WHEELS_LINE.sub(listed, manifest)


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
    """Return the content of a zip by folder and wheel, with sizes."""
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    with zipfile.ZipFile(path) as archive:
        for item in archive.infolist():
            parts = item.filename.split("/")
            depth = 2 if parts[0] == "wheels" or parts[:2] == ["hund_backend", "weights"] else 1
            group = "/".join(parts[:depth])
            sizes[group] += item.compress_size
            counts[group] += not item.is_dir()
    lines = [f"{path.name}: {path.stat().st_size / 1e6:.1f} MB"]
    lines += [
        f"  {size / 1e6:7.2f} MB  {counts[group]:5d}  {group}"
        for group, size in sizes.most_common()
        if counts[group]
    ]
    return "\n".join(lines)


def main() -> int:
    """Build the zips and describe them; return the exit code.

    Without names all are built; one for which a package cannot be had is left out with a sentence.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "kinds", nargs="*", metavar="ZIP", help=f"{', '.join(KINDS)}; default: all"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    arguments = parser.parse_args()
    if unknown := set(arguments.kinds) - set(KINDS):
        parser.error(f"there is no such zip: {', '.join(unknown)}")
    try:
        for kind in arguments.kinds or KINDS:
            try:
                print(describe(build(kind, arguments.output)), flush=True)
            except fetch_wheels.MissingWheelError as error:
                if arguments.kinds:
                    raise
                print(f"{kind} is left out: {error}", file=sys.stderr)
    except (BuildError, fetch_wheels.MissingWheelError, HundError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
