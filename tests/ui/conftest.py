"""Blender with a window. If it is unavailable, the tests fail in CI and are skipped elsewhere."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENT = Path(sys.prefix).resolve()  # of the backend; may be a link in the checkout
CLIP = ROOT / "tests" / "data" / "walker.mp4"
SCREEN = ["xvfb-run", "--auto-servernum", "--server-args=-screen 0 1280x800x24 +extension GLX"]
WINDOW = ["--window-geometry", "0", "0", "1280", "800", "--python-exit-code", "1"]


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
    mounts = [ROOT, ENVIRONMENT, sys.base_prefix]  # the last is the environment's Python
    script = Path(__file__).parent / "in_root.sh"
    return lambda folder: [script, blender_root, *mounts, folder, "--"]


@pytest.fixture(scope="session")
def light_zip():
    zips = sorted((ROOT / "dist").glob("hund-*-light.zip"))
    if not zips:
        skip_or_fail("There is no zip to install: run 'make zip' first.")
    return zips[-1]


def write_long_clip(path, repeats=60):
    """Write the clip forwards and backwards again and again: long enough to cancel its job."""
    source, frames = cv2.VideoCapture(str(CLIP)), []
    while (read := source.read())[0]:
        frames.append(read[1])
    height, width = frames[0].shape[:2]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30, (width, height))
    for _ in range(repeats):
        for frame in (*frames, *frames[::-1]):
            video.write(frame)
    video.release()


@pytest.fixture(scope="session")
def run_scenario(in_root, light_zip, tmp_path_factory):
    """A function that runs a scenario in an empty profile and returns its facts.

    Its screenshots are kept in out/ui.
    """

    def run(name, *, offline=False):
        folder = tmp_path_factory.mktemp(f"hund-{name}")
        shutil.copy(CLIP, folder)
        write_long_clip(folder / "long.mp4")
        (folder / "profile").mkdir()
        environment = os.environ | {
            "BLENDER_USER_RESOURCES": str(folder / "profile"),
            "HUND_UI_FOLDER": str(folder),
            "HUND_UI_ZIP": str(light_zip),
            "HUND_UI_CLIP": str(folder / CLIP.name),
            "HUND_UI_LONG_CLIP": str(folder / "long.mp4"),
            "HUND_UI_INTERPRETER": str(ENVIRONMENT / "bin" / "python"),
        }
        script = HERE / f"{name}.py"
        offline = ["unshare", "--net"] if offline else []
        command = [*offline, *in_root(folder), *SCREEN, "blender", *WINDOW, "--python", script]
        with (folder / "blender.log").open("w") as log:
            process = subprocess.run(
                command, env=environment, stdout=log, stderr=log, timeout=1500, check=False
            )
        pictures = ROOT / "out" / "ui" / name
        shutil.rmtree(pictures, ignore_errors=True)
        pictures.mkdir(parents=True)
        for picture in folder.glob("*.png"):
            shutil.copy(picture, pictures)
        log_text = (folder / "blender.log").read_text()
        assert (folder / "facts.json").is_file(), log_text[-3000:]
        results = json.loads((folder / "facts.json").read_text())
        assert "error" not in results, results["error"]
        assert process.returncode == 0, log_text[-3000:]
        return results

    return run
