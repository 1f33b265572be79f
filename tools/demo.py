"""Runs the main job on a real clip: `python -m tools.demo --output out` (what `make demo` calls)."""

import argparse
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from hund_backend.reconstruction import Reconstruction
from hund_backend.video import open_clip
from tools.get_demo_clip import FetchError, get_demo_clip

BLENDER = Path(__file__).parents[1] / ".venv-blender-4.5" / "bin" / "python"
OPACITY = 0.75  # of the people over the footage
RESULTS = {
    "demo.npz": "the Reconstruction",
    "demo_overlay.mp4": "the bodies over the footage",
    "demo_sheet.png": "a contact sheet of it",
    "demo.blend": "the characters in a Blender scene",
    "demo.png": "the scene through its camera, over the footage",
}


def run_demo(output: Path) -> int:
    """Reconstruct the demo clip, draw the result over it, make a scene and say where everything is.

    Returns:
        The exit code: of the first command that failed, else 0.
    """
    try:
        clip = get_demo_clip()
    except FetchError as error:
        print(error, file=sys.stderr)
        return 1
    for name in RESULTS:
        (output / name).unlink(missing_ok=True)
    places = ["--output", str(output)]
    backend = [sys.executable, "-m", "hund_backend"]
    commands = [
        [*backend, "reconstruct", str(clip), *places],
        [*backend, "preview", str(output / "demo.npz"), str(clip), *places],
    ]
    if BLENDER.exists():  # the scene of what is reconstructed already
        scenes = [str(BLENDER), "-m", "tools.scenes", str(clip), *places]
        commands.append([*scenes, "--interpreter", sys.executable])
    for command in commands:
        exit_code = subprocess.run(command, check=False).returncode
        if exit_code:
            return exit_code
    if BLENDER.exists() and (exit_code := picture(clip, output)):
        return exit_code
    for name, meaning in RESULTS.items():
        if (output / name).exists():
            print(f"{output / name}: {meaning}")
    return 0


def picture(clip: Path, output: Path) -> int:
    """Write demo.png: a frame of the scene as its camera sees it, over that frame of the clip.

    Returns:
        The exit code of Blender.
    """
    frame = best_frame(Reconstruction.load(output / "demo.npz"))
    path = output / "demo.png"
    command = [str(BLENDER), "-m", "tools.render", str(output / "demo.blend")]
    command += [str(frame + 1), str(path)]  # the scene begins with frame 1
    rendered = subprocess.run(command, capture_output=True, text=True, check=False)
    if rendered.returncode:
        print(rendered.stderr, file=sys.stderr)
        return rendered.returncode
    people = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32)
    with open_clip(clip, start=frame, end=frame) as frames:
        behind = next(frames).image[..., ::-1]
    share = OPACITY * people[..., 3:] / 255
    cv2.imwrite(str(path), (behind * (1 - share) + people[..., :3] * share).round())
    return 0


def best_frame(reconstruction: Reconstruction) -> int:
    """The frame in which most people are seen, and most surely."""
    sure = reconstruction.joint_confidence.mean(axis=-1) * reconstruction.present
    return int((reconstruction.present.sum(axis=0) + sure.mean(axis=0)).argmax())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("out"))
    sys.exit(run_demo(parser.parse_args().output))
