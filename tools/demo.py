"""Run the main job on a real clip: `python -m tools.demo --output out` (`make demo`)."""

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
SHORTEST_PRESENCE = 0.3  # seconds, of the people in the picture
RESULTS = {
    "demo.npz": "Reconstruction",
    "demo_overlay.mp4": "bodies over the footage",
    "demo_sheet.png": "contact sheet",
    "demo.blend": "characters in a Blender scene",
    "demo.png": "scene through its camera, over the footage",
}


def run_demo(output: Path) -> int:
    """Reconstruct the demo clip, draw the result over it, write a scene, and list the files.

    Returns:
        The exit code of the first command that failed, else 0.
    """
    try:
        clip = get_demo_clip()
    except FetchError as error:
        print(error, file=sys.stderr)
        return 1
    for name in RESULTS:
        (output / name).unlink(missing_ok=True)
    folder = ["--output", str(output)]
    backend = [sys.executable, "-m", "hund_backend"]
    commands = [
        [*backend, "reconstruct", str(clip), *folder],
        [*backend, "preview", str(output / "demo.npz"), str(clip), *folder],
    ]
    if BLENDER.exists():  # writes the scene of the finished Reconstruction
        scenes = [str(BLENDER), "-m", "tools.scenes", str(clip), *folder]
        commands.append([*scenes, "--interpreter", sys.executable])
    for command in commands:
        exit_code = subprocess.run(command, check=False).returncode
        if exit_code:
            return exit_code
    if BLENDER.exists() and (exit_code := write_image(clip, output)):
        return exit_code
    for name, description in RESULTS.items():
        if (output / name).exists():
            print(f"{output / name}: {description}")
    return 0


def write_image(clip: Path, output: Path) -> int:
    """Write demo.png: a frame of the scene, rendered over the same frame of the clip.

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
        background = next(frames).image[..., ::-1]
    alpha = OPACITY * people[..., 3:] / 255
    cv2.imwrite(str(path), (background * (1 - alpha) + people[..., :3] * alpha).round())
    return 0


def best_frame(reconstruction: Reconstruction) -> int:
    """Return the frame that shows people best: many, with confidence, whole and apart.

    Everybody who is present counts by their joints' mean confidence, by the share of their
    keypoints inside the picture and by the share of their box that is free of others. Who is
    present for less than SHORTEST_PRESENCE around the frame does not count.
    """
    confidence = reconstruction.joint_confidence.mean(axis=-1)
    shortest = round(SHORTEST_PRESENCE * reconstruction.fps)
    present = np.stack([long_runs(each, shortest) for each in reconstruction.present])
    points = reconstruction.keypoints[..., :2]
    inside = ((points >= 0) & (points <= reconstruction.image_size)).all(axis=-1).mean(axis=-1)
    low, high = points.min(axis=2), points.max(axis=2)  # people frames 2
    overlap = (np.minimum(high[:, None], high) - np.maximum(low[:, None], low)).clip(0).prod(-1)
    others = present & ~np.eye(len(present), dtype=bool)[..., None]
    covered = (overlap * others).max(axis=1) / (high - low).prod(axis=-1).clip(1)
    return int((confidence * inside * (1 - covered) * present).sum(axis=0).argmax())


def long_runs(present: np.ndarray, shortest: int) -> np.ndarray:
    """Return where a boolean array is True at least `shortest` times in succession."""
    edges = np.flatnonzero(np.diff(present, prepend=False, append=False))
    kept = np.zeros_like(present)
    for start, end in edges.reshape(-1, 2):
        kept[start:end] = end - start >= shortest
    return kept


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("out"))
    sys.exit(run_demo(parser.parse_args().output))
