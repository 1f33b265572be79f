"""Doctor: everything is checked, and whatever is missing is named."""

import builtins
import contextlib
import json
import signal
import sys

import pytest

from hund_backend import doctor
from hund_backend.__main__ import main

READY, NOT_READY = 0, 2


def run(capsys, *arguments):
    with contextlib.ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.getsignal(number))
        code = main(["doctor", *arguments])
    return code, capsys.readouterr().out.splitlines()


@pytest.fixture
def intact(monkeypatch):
    """Pretend that every network is intact."""
    monkeypatch.setattr(doctor, "is_intact", lambda path, entry: True)


def test_a_complete_installation_is_ready(intact, capsys):
    code, lines = run(capsys)
    assert code == READY
    assert lines[-1] == "Ready."
    assert all(line.startswith("ok ") for line in lines[:-1])
    for name in (*doctor.PACKAGES, *doctor.LOADERS, "device", "blazepose_heavy.safetensors"):
        assert any(name in line for line in lines)


def test_a_missing_network_is_named(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "is_intact", lambda path, entry: "heavy" not in path.name)
    code, lines = run(capsys)
    assert code == NOT_READY
    assert lines[-1].startswith("Not ready: ")
    assert "blazepose_heavy.safetensors" in lines[-1]
    assert "movenet" not in lines[-1]


def test_json_has_the_same_findings(intact, capsys):
    code, lines = run(capsys)
    json_code, (line,) = run(capsys, "--json")
    reply = json.loads(line)
    assert (reply["event"], json_code) == ("doctor", code)
    assert len(reply["findings"]) == len(lines) - 1
    assert all(finding["ok"] for finding in reply["findings"])


def test_it_runs_without_torch(intact, monkeypatch, capsys):
    real_import = builtins.__import__

    def without_torch(name, *args, **kwargs):
        if name.split(".")[0] == "torch":
            raise ImportError("No module named 'torch'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    for name in [name for name in sys.modules if name.startswith("hund_backend.prior")]:
        monkeypatch.delitem(sys.modules, name)
    code, lines = run(capsys)
    assert code == NOT_READY
    assert any("torch does not load" in line for line in lines)
    assert "pose_flow.safetensors" in lines[-1]


def test_a_damaged_manifest_is_named(intact, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "PERCEPTION", tmp_path)
    code, lines = run(capsys)
    assert code == NOT_READY
    assert any("manifest.json" in line and line.startswith("MISSING") for line in lines)
