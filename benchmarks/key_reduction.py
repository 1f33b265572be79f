"""Reduction of keys on rigs: `python -m benchmarks.key_reduction CLIP.npz [PYTHON…]`.

Prints, for each of Blender's environments, a table of keys before and after, errors and seconds.
It is measured by `tests/blender/measure_key_reduction.py` in a process of that environment.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "tests" / "blender" / "measure_key_reduction.py"


def main(clip: Path, interpreters: list[Path]) -> None:
    """Measure in each environment.

    Args:
        clip: a Reconstruction file.
        interpreters: Pythons that have bpy; all environments of the checkout if empty.
    """
    for python in interpreters or sorted(ROOT.glob(".venv-blender-*/bin/python")):
        subprocess.run([python, SCRIPT, clip], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
