"""Builds the extension's zips: `python -m tools.build_zip [light] [full]` (what `make zip` calls).

light: works with every Blender from 4.2; a backend interpreter is named in its preferences.
full: carries the backend's packages for Blender's own Python 3.11 (4.2 to 5.0) on 64-bit Linux.
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
from pathlib import Path

from . import fetch_wheels

ROOT = Path(__file__).parents[1]
KINDS = ("light", "full")
SOURCES = ("__init__.py", "handlers.py", "preferences.py", "properties.py")
FILES = (*SOURCES, "LICENSE", "NOTICE.md", "README.md")
FOLDERS = ("bridge", "hund_backend", "operators", "panels")
IN_BLENDER = {"jaxtyping", "wadler_lindig"}  # what reading a Reconstruction needs
# Beside the wheels that Blender installs for all extensions: an older numpy is part of Blender's
# own Python and of other add-ons there, so ours is seen by the backend alone (bridge/backend.py).
UNPACKED = {"numpy"}
FULL = 'blender_version_max = "5.1.0"\nplatforms = ["linux-x64"]'
WHEELS_LINE = re.compile(r"^wheels = \[\]$", re.MULTILINE)
NEVER = re.compile(
    r"(^|/)(tests|docs|benchmarks|tools|training|evaluation|__pycache__|\.\w+)/|\.pyc$"
)


class BuildError(Exception):
    """The zip cannot be built: one sentence."""


def build(kind: str, output: Path) -> Path:
    """Build, validate and check one zip.

    Raises:
        BuildError: Blender's builder is missing or refuses, or the zip holds what it should not.
    """
    version = tomllib.loads((ROOT / "blender_manifest.toml").read_text())["version"]
    suffix = "" if kind == "light" else "-linux-x64"
    target = output / f"hund-{version}-{kind}{suffix}.zip"
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".stage-") as folder:
        stage = Path(folder) / "hund"
        _fill(stage, kind)
        _blender_ext("validate", str(stage))
        aside = Path(folder) / target.name
        _blender_ext("build", "--source-dir", str(stage), "--output-filepath", str(aside))
        _check(aside)
        aside.replace(target)
    return target


def _fill(stage: Path, kind: str) -> None:
    """Lay everything that goes in; what the manifest excludes stays out when it is zipped."""
    stage.mkdir()
    for name in FILES:
        shutil.copy2(ROOT / name, stage)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, stage / name, copy_function=_link)
    wheels = sorted(fetch_wheels.WHEELS.glob("*.whl"))
    carried = [wheel for wheel in wheels if _package(wheel) in IN_BLENDER]
    if kind == "full":
        carried = [wheel for wheel in wheels if _package(wheel) not in UNPACKED]
        for wheel in set(wheels) - set(carried):
            fetch_wheels.unpack(wheel, stage / "packages")
    (stage / "wheels").mkdir()
    for wheel in carried:
        _link(wheel, stage / "wheels" / wheel.name)
    manifest = (ROOT / "blender_manifest.toml").read_text()
    lines = "\n".join(f'  "./wheels/{wheel.name}",' for wheel in carried)
    listed = f"wheels = [\n{lines}\n]" + (f"\n{FULL}" if kind == "full" else "")
    if len(WHEELS_LINE.findall(manifest)) != 1:
        raise BuildError("blender_manifest.toml should have one line 'wheels = []'.")
    (stage / "blender_manifest.toml").write_text(WHEELS_LINE.sub(listed, manifest))


def _link(source: Path | str, target: Path | str) -> None:
    """Copy without copying, where the file system can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _package(wheel: Path) -> str:
    return wheel.name.split("-")[0].lower()


def _blender_ext(*arguments: str) -> None:
    """Blender's own tool for extensions, which runs in any Python."""
    pattern = (
        ".venv-blender-*/lib/*/site-packages/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py"
    )
    found = sorted(ROOT.glob(pattern))
    if not found:
        raise BuildError("Blender's builder is missing: run 'make blender-setup' first.")
    command = [sys.executable, str(found[-1]), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    # It answers 0 for some errors and only prints them.
    if answer.returncode or "error" in (answer.stdout + answer.stderr).lower():
        raise BuildError(f"blender_ext {arguments[0]}: {answer.stdout}{answer.stderr}".strip())


def _check(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    packed = [name for name in names if not name.startswith("packages/")]
    if stray := [name for name in packed if NEVER.search(name)]:
        raise BuildError(f"{path.name} holds what should stay out: {', '.join(stray[:5])}.")
    needed = {"blender_manifest.toml", "hund_backend/__main__.py", "hund_backend/weights/body.npz"}
    if missing := needed - set(names):
        raise BuildError(f"{path.name} lacks {', '.join(sorted(missing))}.")
    if not any(name.startswith("hund_backend/weights/perception/") for name in names):
        raise BuildError("The pretrained networks are missing: run 'make setup' first.")


def describe(path: Path) -> str:
    """What is inside, by folder, with sizes."""
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    with zipfile.ZipFile(path) as archive:
        for item in archive.infolist():
            parts = item.filename.split("/")
            place = "/".join(parts[:2]) if parts[:2] == ["hund_backend", "weights"] else parts[0]
            sizes[place] += item.compress_size
            counts[place] += not item.is_dir()
    lines = [f"{path.name}: {path.stat().st_size / 1e6:.1f} MB"]
    lines += [
        f"  {size / 1e6:7.2f} MB  {counts[place]:5d}  {place}"
        for place, size in sizes.most_common()
    ]
    return "\n".join(lines)


def main() -> int:
    """Fetch the wheels, build, tell; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="light|full", help="default: both")
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    chosen = parser.parse_args()
    if unknown := set(chosen.kinds) - set(KINDS):
        parser.error(f"there is no such zip: {', '.join(unknown)}")
    try:
        fetch_wheels.fetch()
        for kind in chosen.kinds or KINDS:
            print(describe(build(kind, chosen.output)))
    except (BuildError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
