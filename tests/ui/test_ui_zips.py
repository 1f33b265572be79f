"""Zips in empty profiles without a network: they contain all that the button needs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, skip_or_fail

CLIP = ROOT / "tests" / "data" / "walker.mp4"


# The one zip uses Blender's own Python, the light one the interpreter in the preferences.
@pytest.fixture(
    scope="module",
    params=[("linux-x64-blender-4.2-to-5.0", "4.5"), ("light", "5.2")],
    ids="-".join,
)
def facts(request):
    kind, version = request.param
    zips = sorted((ROOT / "dist").glob(f"hund-*-{kind}.zip"))
    blender = ROOT / f".venv-blender-{version}" / "bin" / "python"
    if not zips or not blender.exists():
        skip_or_fail(
            f"There is no {kind} zip or no bpy {version}: run 'make zip blender-setup' first."
        )
    script = Path(__file__).parent / "press_button.py"
    interpreter = [sys.executable] if kind == "light" else []
    command = ["unshare", "--net", blender, script, zips[-1], CLIP, *interpreter]
    run = subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    return json.loads(run.stdout.splitlines()[-1])


def test_button_makes_people(facts):
    assert facts["status"] == ["FINISHED"]
    assert facts["people"] and facts["files"] == ["walker.npz"]


def test_blender_process_imports_no_backend_packages(facts):
    assert facts["large_packages"] == []
