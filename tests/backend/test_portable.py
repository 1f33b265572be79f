"""Laws of what ships: it runs on Windows and macOS, too, as far as this can be seen from Linux."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hund_backend.video import open_clip
from tools import build_zip

ROOT = Path(__file__).parents[2]
FILES = [file for file in build_zip.packed_files() if file.endswith(".py")]
# Not on Windows; a name with dots is an attribute.
ABSENT = {
    *("fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"),
    *("os.fork", "os.getuid", "os.geteuid", "os.getgid", "os.getpgid", "os.killpg", "os.mkfifo"),
    *("os.sched_getaffinity", "os.setsid", "os.statvfs", "os.sysconf", "os.uname", "os.wait"),
    *("signal.SIGKILL", "signal.SIGALRM", "signal.SIGHUP", "signal.SIGUSR1", "signal.pause"),
    *("signal.alarm", "signal.setitimer", "select.poll", "socket.AF_UNIX"),
}
TEXT_CALLS = {"read_text", "write_text"}


def calls(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def names(tree):
    """Names of modules that are imported, and of their attributes that are used."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def keywords(call):
    return {keyword.arg: keyword.value for keyword in call.keywords}


@pytest.mark.parametrize("file", FILES)
def test_nothing_is_called_that_windows_lacks(file):
    tree = ast.parse((ROOT / file).read_text())
    assert not set(names(tree)) & ABSENT
    for constant in (node for node in ast.walk(tree) if isinstance(node, ast.Constant)):
        if isinstance(constant.value, str):
            assert not constant.value.startswith(("/proc/", "/tmp/", "/dev/", "/usr/"))


@pytest.mark.parametrize("file", FILES)
def test_texts_have_an_encoding_and_processes_no_shell_and_no_window(file):
    for call in calls(ast.parse((ROOT / file).read_text())):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        given = keywords(call)
        if name in TEXT_CALLS:
            assert "encoding" in given, f"line {call.lineno}"
        if name == "open" and isinstance(call.func, ast.Attribute) and not call.args:
            assert "encoding" in given or "mode" in given, f"line {call.lineno}"
        if name in ("Popen", "run") and ast.unparse(call.func).startswith("subprocess."):
            assert "shell" not in given and "preexec_fn" not in given
            assert "creationflags" in given, f"line {call.lineno}"
            assert "encoding" in given, f"line {call.lineno}"


def test_any_name_can_be_printed_in_any_code_page(tmp_path):
    clip = tmp_path / "wälk 😀.mp4"
    environment = os.environ | {"PYTHONIOENCODING": "cp1252:strict"}
    command = [sys.executable, "-m", "hund_backend", "solve", clip, "--output", tmp_path]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    sentence = run.stderr.decode("cp1252")
    assert run.returncode == 2
    assert "\\U0001f600" in sentence and len(sentence.splitlines()) == 1


def test_animations_are_opened_by_content_and_not_by_name(tmp_path, monkeypatch):
    """OpenCV's own opening fails on Windows for names outside the system's code page."""
    import cv2

    monkeypatch.setattr(cv2, "imreadanimation", None)
    first, second = (Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (0, 255))
    path = tmp_path / "wälk 😀.webp"
    first.save(path, save_all=True, append_images=[second], duration=100, lossless=True)
    with open_clip(path) as clip:
        assert [round(float(frame.image.mean())) for frame in clip] == [0, 255]
