"""A person's way through a genuine Blender: install the zip, press the button, stop, look, undo."""

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
    """What happened; the pictures are kept in out/ui to be looked at."""
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
        answer = subprocess.run(
            command, env=environment, stdout=log, stderr=log, timeout=1500, check=False
        )
    pictures = ROOT / "out" / "ui"
    shutil.rmtree(pictures, ignore_errors=True)
    pictures.mkdir(parents=True)
    for picture in folder.glob("*.png"):
        shutil.copy(picture, pictures)
    log_text = (folder / "blender.log").read_text()
    assert (folder / "facts.json").is_file(), log_text[-3000:]
    told = json.loads((folder / "facts.json").read_text())
    assert "error" not in told, told["error"]
    assert answer.returncode == 0, log_text[-3000:]
    return told


def test_the_way_is_gone_to_its_end(facts):
    assert facts["finished"]


def test_escape_stops_it_and_leaves_the_scene_alone(facts):
    assert facts["after_cancel"] == []


def test_the_button_makes_a_person(facts):
    assert "walker Person 1" in facts["people"] and facts["results"] == 1


def test_one_undo_takes_the_result_back_and_one_redo_brings_it(facts):
    assert facts["after_undo"] == []
    assert facts["after_redo"] == facts["people"]


def test_the_descent_is_seen_and_leaves_the_motion_alone(facts):
    stages = list(facts["stages"].values())
    assert len(stages) == 5 and stages[0] != stages[-1]
    assert facts["last_stage_after_scrubbing"] == pytest.approx(stages[-1], abs=1e-5)
    assert facts["last_stage_after_rendering"] == pytest.approx(stages[-1], abs=1e-5)
    assert facts["finished_hand_afterwards"] == facts["finished_hand"]


def test_a_job_survives_opening_another_file(facts):
    assert len(facts["unclaimed"]) == 1
