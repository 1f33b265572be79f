"""Trial of an interpreter: a second of the sample is reconstructed, or a sentence says why not."""

import importlib
import json
import os
import shlex
import sys
import time

import bpy
import pytest
from conftest import MODULE, ROOT
from drawing import RecordingLayout
from synthetic_people import build_reconstruction

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the interpreters are shell scripts")
FINDINGS = {
    "event": "doctor",
    "findings": [
        {"name": "torch", "state": "2.13.0", "ok": True},
        {"name": "device", "state": "cuda: Big Card", "ok": True},
    ],
}
DOCTOR = f"""#!/bin/sh
case "$*" in *doctor*) echo 'python 3 11 2'; echo {shlex.quote(json.dumps(FINDINGS))}; exit 0;; esac
for argument; do last="$argument"; done
"""


def module(name):
    return importlib.import_module(f"{MODULE}.{name}")


@pytest.fixture
def preferences():
    bpy.ops.preferences.addon_enable(module=MODULE)
    yield bpy.context.preferences.addons[MODULE].preferences
    bpy.ops.preferences.addon_disable(module=MODULE)


def write_python(folder, trial):
    """Write a program that passes the doctor and does `trial` for a reconstruction."""
    path = folder / "python"
    path.write_text(DOCTOR + trial)
    path.chmod(0o755)
    return path


def drawn():
    layout = RecordingLayout()
    module("panels.setup")._draw_state(layout, bpy.context)
    return "".join(layout.texts).replace(" ", "")


def check(preferences, interpreter):
    """Press Check; return the report and what was drawn while the second was reconstructed."""
    checks = module("operators.check_backend")
    preferences.interpreter = str(interpreter)
    assert bpy.ops.hund.check_backend() == {"FINISHED"}
    waiting, end = "", time.monotonic() + 6000
    while checks._poll() is not None:
        assert time.monotonic() < end
        assert not checks.report(bpy.context)
        if checks.is_trying():
            waiting = drawn()
        time.sleep(0.02)
    assert not checks.is_checking()
    assert not list(module("preferences").log_file().parent.glob("trial-*"))
    return checks.report(bpy.context), waiting


def done(path):
    return f"echo '{json.dumps({'event': 'done', 'output': str(path), 'skipped': False})}'\n"


def test_a_second_of_the_sample_is_reconstructed_and_timed(preferences, tmp_path):
    result, asked = tmp_path / "result.npz", tmp_path / "asked"
    provenance = {"seconds": {"detect": 8.2, "pose": 5.5}}
    build_reconstruction(people=2, frames=4, provenance=provenance).save(result)
    preferences.device = "cuda"
    body = f'echo "$*" > {asked}; cp {result} "$last/walker.npz"; sleep 0.3\n'
    body += """printf '{"event": "done", "output": "%s/walker.npz"}\\n' "$last"\n"""
    report, waiting = check(preferences, write_python(tmp_path, body))
    assert report.ready
    assert report.text == (
        "Ready: Python 3.11.2, PyTorch 2.13.0, on the graphics card Big Card. "
        "A second of the sample took 14 s."
    )
    assert "Nothingismissing" in waiting
    arguments = asked.read_text()
    assert "sample/walker.mp4 --end 29 --json --device cuda" in arguments
    preferences.device = "auto"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "echo 'ImportError: libcuda' >&2; exit 1\n",
            "stopped unexpectedly (ImportError: libcuda)",
        ),
        ("kill -9 $$\n", "it was killed (signal 9)"),
        ('echo \'{"event": "progress"}\'; exit 3\n', "exit code 3"),
        ("exit 0\n", "stopped unexpectedly"),
        (
            """echo '{"event": "error", "message": "There is no card: choose another --device."}'
exit 2\n""",
            "(There is no card: choose another Device)",
        ),
        (done("/missing/walker.npz"), "cannot be read"),
    ],
)
def test_a_trial_that_fails_says_why_and_what_to_do(preferences, tmp_path, body, words):
    report, _ = check(preferences, write_python(tmp_path, body))
    assert not report.ready and words in report.text
    assert report.text.startswith("Nothing is missing, but ")
    assert report.text.endswith("Choose another Python or device.")
    assert "Trial" in module("preferences").log_file().read_text()


def test_a_damaged_file_is_no_result(preferences, tmp_path):
    build_reconstruction(people=1, frames=4).save(tmp_path / "result.npz")
    content = (tmp_path / "result.npz").read_bytes()
    (tmp_path / "result.npz").write_bytes(content[: len(content) // 2])
    report, _ = check(preferences, write_python(tmp_path, done(tmp_path / "result.npz")))
    assert not report.ready and "result.npz is damaged" in report.text


def test_a_trial_that_hangs_is_ended(preferences, tmp_path, monkeypatch):
    monkeypatch.setattr(module("bridge.trial"), "LIMIT_SECONDS", 0.3)
    report, _ = check(preferences, write_python(tmp_path, "exec sleep 600\n"))
    assert not report.ready and "was not reconstructed within" in report.text


def test_disabling_the_extension_ends_a_trial(preferences, tmp_path):
    checks = module("operators.check_backend")
    pid = tmp_path / "pid"
    body = f"echo $$ > {pid}.part; mv {pid}.part {pid}; exec sleep 600\n"
    preferences.interpreter = str(write_python(tmp_path, body))
    bpy.ops.hund.check_backend()
    end = time.monotonic() + 60
    while not pid.exists():
        assert time.monotonic() < end
        checks._poll()
        time.sleep(0.02)
    checks.stop()
    assert not checks.is_checking()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_python_without_packages_is_not_tried(preferences):
    report, waiting = check(preferences, sys.executable)  # Blender's own has no torch
    assert not report.ready and "torch" in report.text and not waiting


def test_the_backends_own_environment_passes(preferences, monkeypatch):
    interpreter = ROOT / ".venv" / "bin" / "python"
    if not interpreter.exists():
        pytest.skip("the backend's environment is not at its usual place")
    for name in ("trial", "installation"):  # a busy machine may take its time
        monkeypatch.setattr(module(f"bridge.{name}"), "LIMIT_SECONDS", 3000.0)
    monkeypatch.setattr(module("bridge.trial"), "_LAST_FRAME", 5)
    report, _ = check(preferences, interpreter)
    assert report.ready, report.text
    assert "A second of the sample took" in report.text
