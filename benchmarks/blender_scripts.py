"""Measuring scripts of Blender's environments: they run in processes that have bpy."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "blender"


def run(script: str, clip: Path, interpreters: list[Path]) -> None:
    """Run a script of the Blender tests' folder on a clip in each environment.

    Args:
        script: name of its file.
        clip: a Reconstruction file.
        interpreters: Pythons that have bpy; all environments of the checkout if empty.
    """
    for python in interpreters or sorted(ROOT.glob(".venv-blender-*/bin/python")):
        subprocess.run([python, FOLDER / script, clip], check=True)
