"""Find Backends: candidates of every kind, each checked and listed, the ready ones first."""

import io
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import bpy
import pytest
from drawing import RecordingLayout
from test_ui_solve_again import module, preferences  # noqa: F401 - a fixture

READY = """#!/bin/sh
echo 'python 3 11 9'
echo '{"findings": [{"name": "torch", "state": "2.13.0", "ok": true}, \
{"name": "device", "state": "cuda: Big Card", "ok": true}]}'
"""
OLD = "#!/bin/sh\necho 'python 3 8 1'\n"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the interpreters are shell scripts")


def write_python(path, text=READY):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def home(tmp_path):
    """A user's folder with environments of conda and venv."""
    write_python(tmp_path / "hund" / "bin" / "python")
    write_python(tmp_path / "miniconda3" / "envs" / "pose" / "bin" / "python", OLD)
    other = write_python(tmp_path / "elsewhere" / "bin" / "python")
    (tmp_path / ".conda").mkdir()
    (tmp_path / ".conda" / "environments.txt").write_text(f"{other.parents[1]}\n/missing\n")
    return tmp_path


def test_environments_and_the_path_are_searched_and_each_file_once(home, tmp_path):
    on_path = write_python(tmp_path / "bin" / "python3.11")
    (tmp_path / "bin" / "python3").symlink_to(on_path)
    environment = {"PATH": os.pathsep.join([str(tmp_path / "bin")] * 2 + ["", "/missing"])}
    found = module("bridge.interpreters").candidates(environment, home)
    assert found == [
        home / "hund" / "bin" / "python",
        home / "elsewhere" / "bin" / "python",
        home / "miniconda3" / "envs" / "pose" / "bin" / "python",
        on_path,
    ]


def test_installations_that_the_path_lacks_are_found(tmp_path, monkeypatch):
    local = tmp_path / "AppData" / "Local"
    expected = [
        write_python(local / "Programs" / "Python" / "Python313" / "python.exe"),
        write_python(local / "Programs" / "Python" / "Python311" / "python.exe"),
        write_python(tmp_path / ".pyenv" / "versions" / "3.12.1" / "bin" / "python"),
    ]
    candidates = module("bridge.interpreters").candidates
    assert candidates({"LOCALAPPDATA": str(local)}, tmp_path) == expected
    monkeypatch.setattr(sys, "platform", "darwin")
    frameworks, homebrew = tmp_path / "Versions", tmp_path / "homebrew"
    monkeypatch.setattr(module("bridge.interpreters"), "_MACOS_FRAMEWORKS", frameworks)
    monkeypatch.setattr(module("bridge.interpreters"), "_MACOS_FOLDERS", (str(homebrew),))
    on_macos = [
        write_python(frameworks / "3.11" / "bin" / "python3"),
        write_python(homebrew / "python3.12"),
    ]
    assert candidates({}, tmp_path / "nobody") == on_macos


def test_a_python_in_the_working_folder_is_not_taken(tmp_path, monkeypatch):
    """On Windows, Python 3.11's `which` searches the working folder before the one it is given."""
    other = write_python(tmp_path / "project" / "python.exe")
    monkeypatch.setattr(module("bridge.interpreters").shutil, "which", lambda *_, **__: str(other))
    found = module("bridge.interpreters").candidates({"PATH": str(tmp_path)}, tmp_path / "nobody")
    assert found == []


def test_processes_open_no_console_on_windows(preferences, tmp_path, monkeypatch):  # noqa: F811
    backend, flag = module("bridge.backend"), 0x08000000
    started = []

    class Process:
        """Stands for a process that ends at once."""

        def __init__(self, command, **options):
            started.append(options)
            self.stdin, self.stdout, self.returncode = None, io.StringIO(), 0

        def communicate(self, timeout=None):
            return "", ""

    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", flag, raising=False)
    monkeypatch.setattr(subprocess, "Popen", Process)
    settings = backend.Settings(log=tmp_path / "backend.log", interpreter=Path(sys.executable))
    backend.Backend(settings)
    module("bridge.backend_command").BackendCommand(settings, ["-c", "pass"], 1.0)
    assert [options["creationflags"] for options in started] == [flag] * 2
    assert all(options["encoding"] == "utf-8" for options in started)


def test_windows_store_is_no_python(tmp_path):
    write_python(tmp_path / "WindowsApps" / "python3")
    environment = {"PATH": str(tmp_path / "WindowsApps")}
    assert module("bridge.interpreters").candidates(environment, tmp_path / "nobody") == []


def test_the_list_says_what_each_lacks_and_one_click_chooses(preferences, home, monkeypatch):  # noqa: F811
    checks = module("operators.check_backend")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.setattr(Path, "home", lambda: home)
    assert bpy.ops.hund.find_backends() == {"FINISHED"}
    end = time.monotonic() + 120
    while not checks.search().is_done:
        assert time.monotonic() < end
        checks._poll_search()
        time.sleep(0.02)
    reports = {each.path.parents[1].name: each.report for each in checks.search().found}
    assert reports["hund"].ready and "Big Card" in reports["hund"].text
    assert not reports["pose"].ready and "3.8.1" in reports["pose"].text
    assert not checks.search().found[-1].report.ready
    layout = RecordingLayout()
    module("panels.setup")._draw_found(layout, bpy.context)
    assert layout.operators == ["hund.use_backend"] * 2
    chosen = str(home / "hund" / "bin" / "python")
    assert bpy.ops.hund.use_backend(interpreter=chosen) == {"FINISHED"}
    assert preferences.interpreter == chosen and checks.search().found
    assert sys.executable != chosen
