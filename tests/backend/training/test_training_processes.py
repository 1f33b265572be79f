"""Trainings that several processes share: the same weights as of one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from shared_training import run

from hund_backend.training.processes import Processes, processes_of

WORKER = Path(__file__).with_name("shared_training.py")
ROOT = WORKER.parents[3]


@pytest.mark.parametrize(("batch", "count"), [(12, 1), (12, 3), (13, 4), (2, 3)])
def test_shares_are_the_batch(batch, count):
    shares = [Processes(rank=rank, count=count).rows(batch) for rank in range(count)]
    assert sorted(torch.cat(shares).tolist()) == list(range(batch))
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_parts_of_the_loss_add_up_to_that_of_the_batch():
    losses = torch.randn(13, generator=torch.Generator().manual_seed(0))
    shares = [Processes(rank=rank, count=4) for rank in range(4)]
    parts = [share.weigh(losses[share.rows(13)].mean(), 13) for share in shares]
    torch.testing.assert_close(sum(parts), losses.mean())


def test_without_a_launcher_a_process_is_alone():
    with processes_of("cpu") as (processes, device):
        assert (processes, device) == (Processes(), "cpu")


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    """Batches of 13, so that the shares differ; the checkpoint of two resumes in one."""
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    alone.mkdir()
    shared.mkdir()
    curve = run(alone, Processes())
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    subprocess.run(
        [*launcher, "--nproc-per-node", "2", str(WORKER), str(shared)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=300,
    )
    one = load_file(alone / "0.safetensors")
    first, second = (load_file(shared / f"{rank}.safetensors") for rank in range(2))
    assert not (shared / "1.checkpoint").exists()
    for name, weights in one.items():
        assert torch.equal(first[name], second[name]), name
        # A step of Adam changes weights by 1e-4 to 1e-3.
        torch.testing.assert_close(first[name], weights, atol=1e-5, rtol=1e-5)
    resumed = run(shared, Processes())
    assert [point["step"] for point in resumed] == [point["step"] for point in curve]
    for point, expected in zip(resumed, curve, strict=True):
        assert point["train"] == pytest.approx(expected["train"], rel=1e-4)
