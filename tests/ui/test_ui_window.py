"""Blender with a window: install the zip, reconstruct, cancel, preview stages, undo."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CLIP = ROOT / "tests" / "data" / "walker.mp4"
SCREEN = ["xvfb-run", "--auto-servernum", "--server-args=-screen 0 1280x800x24 +extension GLX"]
WINDOW = ["--window-geometry", "0", "0", "1280", "800", "--python-exit-code", "1"]


@pytest.fixture(scope="module")
def facts(in_root, light_zip, tmp_path_factory):
    """Results of the scenario; its screenshots are kept in out/ui."""
    folder = tmp_path_factory.mktemp("hund-ui")
    shutil.copy(CLIP, folder)
    (folder / "profile").mkdir()
    environment = os.environ | {
        "BLENDER_USER_RESOURCES": str(folder / "profile"),
        "HUND_UI_FOLDER": str(folder),
        "HUND_UI_ZIP": str(light_zip),
        "HUND_UI_CLIP": str(folder / CLIP.name),
        "HUND_UI_INTERPRETER": sys.executable,
    }
    command = [*in_root(folder), *SCREEN, "blender", *WINDOW, "--python", HERE / "window.py"]
    with (folder / "blender.log").open("w") as log:
        process = subprocess.run(
            command, env=environment, stdout=log, stderr=log, timeout=1500, check=False
        )
    pictures = ROOT / "out" / "ui"
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


def test_scenario_finishes(facts):
    assert facts["finished"]


def test_escape_cancels_only_over_the_panel_after_a_question_and_keeps_scene(facts):
    assert facts["running_after_escape_elsewhere"] and facts["running_while_asked"]
    assert facts["after_cancel"] == []


def test_first_result_is_seen_through_its_camera_without_the_cube(facts):
    assert facts["perspective"] == "CAMERA" and facts["cube_hidden"]
    assert not facts["cube_after_undo"]


def test_button_makes_person(facts):
    assert "Person 1 - walker" in facts["people"] and facts["results"] == 1


def test_one_undo_removes_result_and_one_redo_restores_it(facts):
    assert facts["after_undo"] == []
    assert facts["after_redo"] == facts["people"]


def test_stage_preview_keeps_motion(facts):
    stages = list(facts["stages"].values())
    assert len(stages) == 5 and stages[0] != stages[-1]
    assert facts["last_stage_after_scrubbing"] == pytest.approx(stages[-1], abs=1e-5)
    assert facts["last_stage_after_rendering"] == pytest.approx(stages[-1], abs=1e-5)
    assert facts["final_hand_afterwards"] == facts["final_hand"]


def test_job_survives_opening_another_file(facts):
    assert len(facts["unclaimed"]) == 1
