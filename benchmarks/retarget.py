"""Retargeting onto rigs: `python -m benchmarks.retarget CLIP.npz [PYTHON…]`.

Prints, for each of Blender's environments, a table of errors and seconds. It is measured by
`tests/blender/measure_retargeting.py` in a process of that environment.
"""

import sys
from pathlib import Path

from benchmarks import blender_scripts

if __name__ == "__main__":
    clip, *interpreters = map(Path, sys.argv[1:])
    blender_scripts.run("measure_retargeting.py", clip, interpreters)
