"""Laws of writing files: whole or not at all, whatever happens and wherever the disk is full."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cli import cli_fakes
from full_disk import contents, full_disk, limits
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from hund_backend.atomic_write import MAX_STEM, atomic_write, check_writable, write_file
from hund_backend.errors import BadInputError
from hund_backend.evaluation import report
from hund_backend.training import checkpoint, weights
from hund_backend.training.motion import motion_set
from hund_backend.training.pictures import shards
from hund_backend.training.pictures.scene import Picture

ROOT = Path(__file__).parents[2]


def write_checkpoint(path):
    network = nn.Linear(60, 50)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(60)).sum().backward()
    optimizer.step()
    generator = torch.Generator().manual_seed(0)
    checkpoint.save_checkpoint(path, network, optimizer, generator, {"step": 1})


def write_shard(path):
    rng = np.random.default_rng(0)
    shapes = {"rotations": (63, 3, 3), "root_translation": (3,), "betas": (16,), "crop": (4,)}
    shapes |= {"expression": (20,), "joints": (63, 3), "keypoints": (33, 3), "frame_size": (2,)}
    picture = Picture(
        image=rng.integers(0, 255, (256, 256, 3), np.uint8),
        labels=rng.integers(0, 15, (256, 256), np.uint8),
        depth=np.full((256, 256), np.inf),
        visible=np.ones(33, bool),
        intrinsics=np.eye(3),
        motion_frame=0,
        **{name: rng.normal(size=shape) for name, shape in shapes.items()},
    )
    shards.write_shard(path, [picture, picture], {"seed": "0"})


def write_motions(path):
    motions = motion_set.MotionSet(
        rotations=torch.eye(3).repeat(20, 63, 1, 1),
        translation=torch.zeros(20, 3),
        contacts=torch.ones(20, 4, dtype=torch.bool),
        starts=torch.tensor([0, 20]),
        names=("pack/clip",),
        splits=("train",),
        usable=torch.ones(20, dtype=torch.bool),
        fps=30.0,
    )
    motion_set._write(motions, path)


WRITERS = {
    "bytes": lambda path: write_file(path, bytes(range(256)) * 50),
    "few bytes": lambda path: write_file(path, b"ten bytes."),
    "reconstruction": lambda path: cli_fakes.build_reconstruction(frames=40).save(path),
    "weights": lambda path: weights.write_weights(path, {"a": torch.ones(3000)}, {"b": "c" * 99}),
    "checkpoint": write_checkpoint,
    "shard": write_shard,
    "motion set": write_motions,
    "evaluation": lambda path: report.write({"provenance": {"a": "b" * 900}, "kits": []}, path),
}


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    """Writes its files, the same ones again and again, to a folder of their own."""
    folder = tmp_path / "out"
    folder.mkdir()
    target = folder if request.param == "evaluation" else folder / "written.npz"
    return folder, lambda: WRITERS[request.param](target)


def test_a_full_disk_leaves_what_was_there_and_nothing_else(write):
    folder, again = write
    again()
    before = contents(folder)
    for limit in limits(max(map(len, before.values()))):
        with pytest.raises(BadInputError) as caught, full_disk(limit):
            again()
        assert contents(folder) == before, limit
        message = str(caught.value)
        assert "cannot be written" in message and "make room" in message and "\n" not in message
    again()


def test_a_full_disk_leaves_nothing_where_nothing_was(write):
    folder, again = write
    again()
    written = contents(folder)
    for name in written:
        (folder / name).unlink()
    with pytest.raises(BadInputError), full_disk(max(map(len, written.values())) // 2):
        again()
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_late_failure_leaves_what_was_there(write, monkeypatch, moment, error):
    folder, again = write
    again()
    before = contents(folder)

    def fail(*_):
        raise error

    monkeypatch.setattr(*((os, "fsync") if moment == "fsync" else (Path, "replace")), fail)
    expected = BadInputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        again()
    assert contents(folder) == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_of_the_writer_comes_through_and_leaves_what_was_there(tmp_path, error):
    old, new = tmp_path / "old.txt", tmp_path / "new.txt"
    old.write_bytes(b"old")
    with pytest.raises(error), atomic_write(old, new) as parts:
        for part in parts:
            part.write_bytes(b"half")
        raise error
    assert contents(tmp_path) == {"old.txt": b"old"}


def test_files_take_their_places_together(tmp_path):
    first, second = tmp_path / "deep" / "a.json", tmp_path / "deep" / "b.json"
    with atomic_write(first, second) as [first_part, second_part]:
        first_part.write_bytes(b"1")
        second_part.write_bytes(b"2")
        assert not first.exists() and not second.exists()
        assert first_part.parent == first.parent and first_part.suffix == ".json"
    assert contents(tmp_path) == {"deep/a.json": b"1", "deep/b.json": b"2"}


def test_a_file_that_was_not_made_leaves_its_neighbour_as_it_was(tmp_path):
    with (
        pytest.raises(BadInputError, match="cannot be written"),
        atomic_write(tmp_path / "a", tmp_path / "b") as parts,
    ):
        parts[0].write_bytes(b"only one")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_place_of_a_file_leaves_its_neighbour_as_it_was(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a").write_bytes(b"old")
    with (
        pytest.raises(BadInputError, match="is a folder"),
        atomic_write(tmp_path / "a", tmp_path / "b") as parts,
    ):
        for part in parts:
            part.write_bytes(b"new")
    assert contents(tmp_path) == {"a": b"old"}


@pytest.mark.parametrize("name", ["n" * 251 + ".npz", "歩" * 80 + ".npz", ".hidden"])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path, name):
    write_file(tmp_path / name, b"whole")
    assert contents(tmp_path) == {name: b"whole"}
    assert len("歩".encode()) * MAX_STEM < 200


def test_others_may_read_what_the_umask_lets_them_read(tmp_path):
    mask = os.umask(0o027)
    try:
        cli_fakes.build_reconstruction().save(tmp_path / "a.npz")
    finally:
        os.umask(mask)
    assert (tmp_path / "a.npz").stat().st_mode & 0o777 == 0o640


def test_a_folder_in_which_nothing_can_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", Path("/proc/none")):
        with pytest.raises(BadInputError, match="cannot be written to"):
            check_writable(folder)
    check_writable(tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())


def test_weights_are_the_bytes_that_safetensors_writes(tmp_path):
    tensors = {"b": torch.arange(7.0), "a": torch.ones(2, 3)}
    weights.write_weights(tmp_path / "ours.safetensors", tensors, {})
    save_file(tensors, tmp_path / "theirs.safetensors")
    assert len({path.read_bytes() for path in tmp_path.glob("*.safetensors")}) == 1
    with safe_open(tmp_path / "ours.safetensors", "np") as file:
        np.testing.assert_array_equal(file.get_tensor("b"), np.arange(7.0))


TINY_DISK = """
import subprocess, sys
from pathlib import Path
folder, kilobytes = Path(sys.argv[1]), int(sys.argv[2])
mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
if subprocess.run(mount, capture_output=True).returncode:
    sys.exit(77)
from hund_backend.atomic_write import write_file
from hund_backend.errors import BadInputError
write_file(folder / "a.bin", bytes(1000))
try:
    write_file(folder / "a.bin", bytes(int(sys.argv[3])))
except BadInputError as error:
    assert "No space left" in str(error), error
else:
    sys.exit("it was written")
assert [path.name for path in folder.iterdir()] == ["a.bin"], list(folder.iterdir())
assert (folder / "a.bin").read_bytes() == bytes(1000)
"""


@pytest.mark.parametrize("size", [70_000, 64_000, 500_000])
def test_a_tiny_disk_that_is_full_leaves_what_was_there(tmp_path, size):
    command = ["unshare", "--mount", sys.executable, "-c", TINY_DISK, tmp_path, "64", str(size)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    except OSError as error:
        pytest.skip(f"unshare cannot be started: {error}")
    if answer.returncode == 77 or "unshare" in answer.stderr:
        pytest.skip("no file system can be mounted here: that takes root")
    assert answer.returncode == 0, answer.stderr
