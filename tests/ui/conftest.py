"""Blender with a window. If it is unavailable, the tests fail in CI and are skipped elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def skip_or_fail(reason):
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def blender_root():
    """Folder of Blender's root file system; it takes minutes to make, once per machine."""
    answer = subprocess.run(
        [ROOT / "tools" / "get_blender.sh"], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        skip_or_fail(
            f"Blender with a window is unavailable: {answer.stderr.strip().splitlines()[-1]}"
        )
    allowed = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False
    )
    if allowed.returncode:
        skip_or_fail("Blender with a window needs the right to mount folders (unshare --mount).")
    return Path(answer.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def in_root(blender_root):
    """Return the beginning of a command that runs in the root with a folder mounted."""
    mounts = [ROOT, sys.base_prefix]  # the checkout with its environment, and its Python
    script = Path(__file__).parent / "in_root.sh"
    return lambda folder: [script, blender_root, *mounts, folder, "--"]


@pytest.fixture(scope="session")
def light_zip():
    zips = sorted((ROOT / "dist").glob("hund-*-light.zip"))
    if not zips:
        skip_or_fail("There is no zip to install: run 'make zip' first.")
    return zips[-1]
