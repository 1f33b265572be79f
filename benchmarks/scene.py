"""Time of enabling the extension, writing a long clip and playing it in Blender.

Run in each Blender's environment: `.venv-blender-4.5/bin/python -m benchmarks.scene`. Prints a row
of a table. Worst case: the people move all joints and the whole face in every frame.
"""

import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "blender"))
import conftest  # links the checkout as the extension, before bpy is imported
from conftest import bpy

sys.dont_write_bytecode = False  # as when it is installed: enabling counts from the second run

FRAMES, PLAYED, REPEATS = 1000, 120, 3
HEAD = "| Blender | enabling s | 1,000 frames written s | played frames/s | with two people |"


def seconds(action: Callable[[], object]) -> float:
    """Return the duration of a call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def rate() -> float:
    """Return the frames per second that `frame_set` evaluates."""
    scene = bpy.context.scene
    scene.frame_set(1)
    elapsed = seconds(lambda: [scene.frame_set(frame) for frame in range(2, 2 + PLAYED)])
    return PLAYED / elapsed


def main() -> None:
    """Measure and print the row."""
    enable = functools.partial(bpy.ops.preferences.addon_enable, module=conftest.MODULE)
    row = [bpy.app.version_string, f"{seconds(enable):.2f}"]
    from bl_ext.user_default.hund.bridge import scene
    from synthetic_people import build_reconstruction

    for people in (1, 2):
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        reconstruction = build_reconstruction(people=people, frames=FRAMES)
        write = functools.partial(scene.write, bpy.context, reconstruction)
        durations = [seconds(write) for _ in range(REPEATS)]
        row += [f"{np.median(durations):.2f}"] * (people == 1) + [f"{rate():.0f}"]
    print(HEAD, "| --- | --- | --- | --- | --- |", f"| {' | '.join(row)} |", sep="\n")


if __name__ == "__main__":
    main()
