"""A genuine Blender for the window tests; where it cannot be had they fail in CI and are skipped elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def refuse(reason):
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def blender_root():
    """Folder of the Blender root; making it takes some minutes and happens once for a machine."""
    answer = subprocess.run(
        [ROOT / "tools" / "get_blender.sh"], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        refuse(f"There is no Blender with a window: {answer.stderr.strip().splitlines()[-1]}")
    allowed = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False
    )
    if allowed.returncode:
        refuse("A window needs the right to mount folders (unshare --mount).")
    return Path(answer.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def in_root(blender_root):
    """Begins a command that runs in the root and sees a folder beside the checkout."""
    seen = [ROOT, sys.base_prefix]  # the checkout with its environment, and its Python
    script = Path(__file__).parent / "in_root.sh"
    return lambda folder: [script, blender_root, *seen, folder, "--"]


@pytest.fixture(scope="session")
def light_zip():
    found = sorted((ROOT / "dist").glob("hund-*-light.zip"))
    if not found:
        refuse("There is no zip to install: run 'make zip' first.")
    return found[-1]
