"""Reduction of keys on rigs: `python -m benchmarks.key_reduction CLIP.npz [PYTHON…]`.

Prints, for each of Blender's environments, a table of keys before and after, errors and seconds.
It is measured by `tests/blender/measure_key_reduction.py` in a process of that environment.
"""

import sys
from pathlib import Path

from benchmarks import blender_scripts

if __name__ == "__main__":
    clip, *interpreters = map(Path, sys.argv[1:])
    blender_scripts.run("measure_key_reduction.py", clip, interpreters)
