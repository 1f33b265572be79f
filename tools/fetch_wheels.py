"""Fetch the packages that a zip carries, from requirements/runtime.lock, for any system."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from .cache import cache_folder
from .lock_runtime import EXCLUDED, extract_entries
from .wheel_metadata import metadata_of, requirements_of
from .zip_targets import PYTHONS, Target

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements" / "runtime.lock"
NAMES = ROOT / "requirements" / "runtime.in"


class MissingWheelError(Exception):
    """A package cannot be had for a target: one sentence."""


def fetch(target: Target) -> list[Path]:
    """Fetch the wheels that the backend needs on a target, into the cache.

    A second run fetches nothing.

    Returns:
        Paths of the wheels, sorted by name.

    Raises:
        MissingWheelError: a package cannot be had.
    """
    cache = cache_folder() / "wheels"
    cache.mkdir(parents=True, exist_ok=True)
    versions = locked_versions()
    found = {name: _cached(name, version, target, cache) for name, version in versions.items()}
    if missing := {name for name, wheel in found.items() if wheel is None}:
        _download(missing, target, cache)
        found |= {name: _cached(name, versions[name], target, cache) for name in missing}
    if missing := [name for name, wheel in found.items() if wheel is None]:
        raise MissingWheelError(f"pip found no {', '.join(missing)} for {target.name}.")
    return sorted(found[name] for name in _needed(found, target))


def locked_versions() -> dict[str, str]:
    """Return the locked versions by canonical names."""
    pins = (line.split()[0] for line in LOCK.read_text().splitlines() if "==" in line)
    return {canonicalize_name(name): version for name, version in (p.split("==") for p in pins)}


def unpack(wheel: Path, folder: Path) -> None:
    """Extract a wheel into a folder."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)


def _cached(name: str, version: str, target: Target, cache: Path) -> Path | None:
    """Return the cached wheel of a package for a target; None if there is none.

    Of a version there may be a build for the CPU, which is named `version+cpu`.
    """
    for wheel in sorted(cache.glob("*.whl")):
        found_name, found_version, _, tags = parse_wheel_filename(wheel.name)
        if found_name == name and found_version.public == version and tags & target.tags:
            return wheel
    return None


def _download(names: set[str], target: Target, cache: Path) -> None:
    """Let pip download packages by the lock; it prints what goes wrong."""
    unlocked = _has_unlocked_torch(target)
    if unlocked and "torch" in names:
        names = names - {"torch"}
        _download_cpu_torch(target, cache)
    if not names:
        return
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "requirements.txt"
        lock.write_text(extract_entries(LOCK.read_text(), names))
        command = [*_command(target, cache), "--require-hashes", "--requirement", str(lock)]
        if subprocess.run(command, check=False).returncode:
            raise MissingWheelError(f"pip could not download the packages for {target.name}.")


def _has_unlocked_torch(target: Target) -> bool:
    """Return whether torch for a target is not in the lock.

    On Linux, the package index has only builds with CUDA, of half a gigabyte and more.
    """
    return target.system == "linux-x64" and target.python != PYTHONS[0]


def _download_cpu_torch(target: Target, cache: Path) -> None:
    version = locked_versions()["torch"]
    command = [*_command(target, cache), f"torch=={version}+cpu"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        python = ".".join(map(str, target.python))
        raise MissingWheelError(
            f"pip finds no CPU build of torch {version} for Linux and Python {python}: point "
            "PIP_EXTRA_INDEX_URL to PyTorch's index of CPU wheels and run this again."
        )


def _command(target: Target, cache: Path) -> list[str]:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp"]
    command += ["--python-version", ".".join(map(str, target.python))]
    command += [word for abi in (target.abi, "abi3", "none") for word in ("--abi", abi)]
    command += [word for platform in target.platforms for word in ("--platform", platform)]
    return [*command, "--dest", str(cache)]


def _needed(found: dict[str, Path], target: Target) -> set[str]:
    """Return the packages that the backend needs on a target, by the wheels' metadata."""
    needed: set[str] = set()
    pending = [Requirement(name) for name in NAMES.read_text().split()]
    while pending:
        name = canonicalize_name(pending.pop().name)
        if name in needed | EXCLUDED:
            continue
        if name not in found:
            raise MissingWheelError(f"{name}, which {target.name} needs, is not in {LOCK.name}.")
        needed.add(name)
        with zipfile.ZipFile(found[name]) as archive:
            pending += requirements_of(metadata_of(archive), target)
    return needed
