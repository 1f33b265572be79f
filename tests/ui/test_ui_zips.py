"""The zips in empty profiles, without a network: everything that the button needs is inside."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, refuse

CLIP = ROOT / "tests" / "data" / "walker.mp4"


# The full one does all in Blender's own Python, the light one where the preferences say.
@pytest.fixture(scope="module", params=[("full", "4.5"), ("light", "5.2")], ids="-".join)
def facts(request):
    kind, version = request.param
    zips = sorted((ROOT / "dist").glob(f"hund-*-{kind}*.zip"))
    blender = ROOT / f".venv-blender-{version}" / "bin" / "python"
    if not zips or not blender.exists():
        refuse(f"There is no {kind} zip or no bpy {version}: run 'make zip blender-setup' first.")
    script = Path(__file__).parent / "press_button.py"
    interpreter = [] if kind == "full" else [sys.executable]
    command = ["unshare", "--net", blender, script, zips[-1], CLIP, *interpreter]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False)
    assert answer.returncode == 0, answer.stdout[-2000:] + answer.stderr[-2000:]
    return json.loads(answer.stdout.splitlines()[-1])


def test_the_button_makes_people(facts):
    assert facts["answer"] == ["FINISHED"]
    assert facts["people"] and facts["files"] == ["walker.npz"]


def test_the_backends_packages_stay_out_of_blenders_process(facts):
    assert facts["heavy"] == []
