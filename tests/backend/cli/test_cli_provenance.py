"""Laws of the provenance: it lists the weights that were opened, every one and no other."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hund_backend.weights_file import WEIGHTS, load_weights, note_loaded, record_loaded, sha256_of

ROOT = Path(__file__).parents[3]
WALKER = ROOT / "tests" / "data" / "walker.mp4"
NETWORKS = (WEIGHTS / "perception" / "blazepose_heavy.safetensors").exists()

# Reconstructs in every way; the kernel tells which files of weights are opened meanwhile.
WATCHED = """
import ctypes, json, os, struct, sys
from pathlib import Path

import hund_backend
libc = ctypes.CDLL(None, use_errno=True)
watch = libc.inotify_init1(os.O_NONBLOCK)
weights, opened = Path(hund_backend.__file__).parent / "weights", set()
for folder in (weights, weights / "perception"):
    if libc.inotify_add_watch(watch, os.fsencode(folder), 0x20) < 0:  # IN_OPEN
        sys.exit(77)

def opened_weights():
    while True:
        try:
            events = os.read(watch, 1 << 16)
        except BlockingIOError:
            return sorted(name for name in opened if name.endswith((".npz", ".safetensors", ".onnx")))
        while events:
            size = struct.unpack("iIII", events[:16])[3]
            opened.add(events[16 : 16 + size].rstrip(b"\\0").decode())
            events = events[16 + size :]

from hund_backend.options import Options
from hund_backend.models import Models
from hund_backend.pipeline import reconstruct
models = Models.load("cpu")
for name, options in {
    "default": Options(end=2), "fit": Options(end=2, method="fit"),
    "parts": Options(end=2, parts=True), "default again": Options(end=2),
}.items():
    listed = reconstruct(Path(sys.argv[1]), options, models).provenance["weights"]
    print(json.dumps([name, listed, opened_weights()]))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """For each set of options, the weights listed in the provenance and the files opened so far."""
    folder = tmp_path_factory.mktemp("copy")  # weights that no other process opens
    shutil.copytree(ROOT / "hund_backend", folder / "hund_backend")
    command = [sys.executable, "-c", WATCHED, WALKER]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if answer.returncode == 77:
        pytest.skip("this system does not tell which files are opened")
    assert answer.returncode == 0, answer.stderr
    return {
        name: (listed, opened)
        for name, listed, opened in map(json.loads, answer.stdout.splitlines())
    }


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.skipif(not NETWORKS, reason="run 'make setup' to fetch the networks")
@pytest.mark.skipif(sys.platform != "linux", reason="watches files as Linux does")
def test_the_provenance_lists_the_weights_that_were_opened(runs):
    for name in ("default", "fit", "parts"):
        listed, opened = runs[name]
        assert sorted(listed) == opened, name
    hashes, _ = runs["parts"]
    paths = {path.name: path for path in WEIGHTS.rglob("*.*")}
    assert hashes == {name: sha256_of(paths[name]) for name in hashes}
    assert set(hashes) - set(runs["default"][0]) == {"part_head.safetensors"}


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.skipif(not NETWORKS, reason="run 'make setup' to fetch the networks")
@pytest.mark.skipif(sys.platform != "linux", reason="watches files as Linux does")
def test_weights_of_an_earlier_clip_do_not_count(runs):
    assert runs["default again"][0] == runs["default"][0]


def test_every_open_recording_hears_of_a_file(tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    note_loaded(first)  # no recording is open
    with record_loaded() as outer:
        with load_weights("The first", first):
            pass
        with record_loaded() as inner:
            note_loaded(second, "known")
    note_loaded(first, "too late")
    assert inner == {"second.safetensors": "known"}
    assert outer == inner | {"first.safetensors": sha256_of(first)}
