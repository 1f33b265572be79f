"""The full zip in an empty profile, without a network: everything that the button needs is inside."""

import json
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, refuse

CLIP = ROOT / "tests" / "data" / "walker.mp4"


@pytest.fixture(scope="module")
def facts():
    zips = sorted((ROOT / "dist").glob("hund-*-full-linux-x64.zip"))
    blender = ROOT / ".venv-blender-4.5" / "bin" / "python"
    if not zips or not blender.exists():
        refuse("There is no full zip or no bpy 4.5: run 'make zip blender-setup' first.")
    script = Path(__file__).parent / "press_button.py"
    command = ["unshare", "--net", blender, script, zips[-1], CLIP]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False)
    assert answer.returncode == 0, answer.stdout[-2000:] + answer.stderr[-2000:]
    return json.loads(answer.stdout.splitlines()[-1])


def test_the_button_makes_a_person_with_blenders_own_python(facts):
    assert facts["answer"] == ["FINISHED"]
    assert facts["people"] and facts["files"] == ["walker.npz"]


def test_the_backends_packages_stay_out_of_blenders_process(facts):
    assert facts["heavy"] == []
