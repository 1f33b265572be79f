"""Fill wheels/ from requirements/runtime.lock: the packages that the extension contains.

Compiled wheels are for CPython 3.11 on 64-bit Linux, the Python of Blender 4.2 to 5.0: there is no
CPU build of torch for CPython 3.13 (Blender 5.1 and later), where the user sets a backend
interpreter.
"""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from .cache import cache_folder

ROOT = Path(__file__).parents[1]
WHEELS = ROOT / "wheels"
LOCK = ROOT / "requirements" / "runtime.lock"
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 26, 24, 17, 12, 5)]
PLATFORMS += ["manylinux2014_x86_64", "manylinux1_x86_64", "linux_x86_64"]


def fetch() -> list[Path]:
    """Fill wheels/ with the packages of the lock, remove all others, and return the wheels.

    Raises:
        subprocess.CalledProcessError: pip failed; it has printed why.
        RuntimeError: a wheel is missing.
    """
    cache = cache_folder() / "wheels"  # a second run fetches nothing
    cache.mkdir(parents=True, exist_ok=True)
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11"]
    command += ["--abi", "cp311", "--abi", "abi3", "--abi", "none", *platforms]
    command += ["--find-links", str(cache), "--dest", str(cache), "--requirement", str(LOCK)]
    subprocess.run(command, check=True)
    versions = locked_versions()
    for old_wheel in WHEELS.glob("*.whl"):
        old_wheel.unlink()
    for wheel in sorted(cache.glob("*.whl")):
        name, version = wheel.name.split("-")[:2]
        if versions.get(name.lower()) == version.split("+")[0]:
            shutil.copy2(wheel, WHEELS)
    wheels = sorted(WHEELS.glob("*.whl"))
    if len(wheels) != len(versions):
        raise RuntimeError(
            f"The lock has {len(versions)} packages, {WHEELS} has {len(wheels)} wheels."
        )
    return wheels


def locked_versions() -> dict[str, str]:
    """Return the locked versions by package name, spelled as in a wheel's file name."""
    pins = (line.split()[0] for line in LOCK.read_text().splitlines() if "==" in line)
    return {
        name.lower().replace("-", "_"): version
        for name, version in (pin.split("==") for pin in pins)
    }


def unpack(wheel: Path, folder: Path) -> None:
    """Extract a wheel into a folder."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)


if __name__ == "__main__":
    for path in fetch():
        print(f"{path.stat().st_size / 1e6:7.1f} MB  {path.name}")
