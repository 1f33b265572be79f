"""Blender without a window: installs the zip and runs the batch command."""

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT

CLIP = ROOT / "tests" / "data" / "walker.mp4"


@pytest.fixture(scope="module")
def blender(in_root, light_zip, tmp_path_factory):
    """A function that runs a command of a Blender with the extension, and its folder."""
    folder = tmp_path_factory.mktemp("hund-command")
    environment = os.environ | {"BLENDER_USER_RESOURCES": str(folder / "profile")}
    (folder / "profile").mkdir()

    def run(*arguments, options=()):
        blender = ["blender", "--background", *options, "--command"]
        command = [*in_root(folder), *blender, *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=900, check=False
        )

    result = run("extension", "install-file", "--repo", "user_default", "--enable", light_zip)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder, run


def test_batch_writes_scenes_and_returns_highest_exit_code(blender):
    folder, run = blender
    broken = folder / "broken.mp4"
    broken.write_bytes(b"no video")
    options = ["--format", "blend", "bvh", "--end", "5", "--interpreter", sys.executable]
    result = run("hund", CLIP, broken, "--output", folder / "out", *options)
    assert result.returncode == 2, result.stdout + result.stderr
    report = json.loads((folder / "out" / "hund_report.json").read_text())
    assert [entry["status"] for entry in report["clips"]] == ["done", "failed"]
    files = {path.name for path in (folder / "out").iterdir()}
    assert {"walker.npz", "walker.blend", "walker_1.bvh"} <= files


def test_wrong_argument_is_bad_input(blender):
    _, run = blender
    result = run("hund", CLIP)
    assert result.returncode == 2 and "--output" in result.stderr


def test_factory_settings_need_the_name_of_the_extension(blender):
    _, run = blender
    unknown = run("hund", "--help", options=["--factory-startup"])
    assert "Unrecognized command" in unknown.stdout + unknown.stderr
    named = ["--factory-startup", "--addons", "bl_ext.user_default.hund"]
    result = run("hund", "--help", options=named)
    assert result.returncode == 0 and "--output" in result.stdout
