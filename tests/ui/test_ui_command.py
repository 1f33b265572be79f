"""A genuine Blender without a window: its own command installs the zip, ours makes scenes."""

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT

CLIP = ROOT / "tests" / "data" / "walker.mp4"


@pytest.fixture(scope="module")
def blender(in_root, light_zip, tmp_path_factory):
    """Runs a command of a Blender that has the extension."""
    folder = tmp_path_factory.mktemp("hund-command")
    environment = os.environ | {"BLENDER_USER_RESOURCES": str(folder / "profile")}
    (folder / "profile").mkdir()

    def run(*arguments):
        command = [*in_root(folder), "blender", "--background", "--command", *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=900, check=False
        )

    answer = run("extension", "install-file", "--repo", "user_default", "--enable", light_zip)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return folder, run


def test_a_batch_makes_scenes_and_answers_with_the_worst_exit_code(blender):
    folder, run = blender
    broken = folder / "broken.mp4"
    broken.write_bytes(b"no video")
    choice = ["--format", "blend", "bvh", "--end", "5", "--interpreter", sys.executable]
    answer = run("hund", CLIP, broken, "--output", folder / "out", *choice)
    assert answer.returncode == 2, answer.stdout + answer.stderr
    report = json.loads((folder / "out" / "hund_report.json").read_text())
    assert [entry["status"] for entry in report["clips"]] == ["done", "failed"]
    made = {path.name for path in (folder / "out").iterdir()}
    assert {"walker.npz", "walker.blend", "walker_1.bvh"} <= made


def test_a_wrong_argument_is_bad_input(blender):
    _, run = blender
    answer = run("hund", CLIP)
    assert answer.returncode == 2 and "--output" in answer.stderr
