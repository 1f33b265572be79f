"""Benchmarks import without running, and report what they measured."""

import argparse
import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from benchmarks import job, measuring, memory
from benchmarks.measuring import Measurement, Stopwatch

NEEDS_BLENDER = {"scene"}
NAMES = sorted(
    {path.stem for path in Path(measuring.__file__).parent.glob("*.py")} - NEEDS_BLENDER
)


@pytest.mark.parametrize("name", NAMES)
def test_importing_a_benchmark_runs_nothing(name, capsys):
    import_module(f"benchmarks.{name}")
    assert capsys.readouterr().out == ""


def test_peak_memory_includes_freed_memory():
    slack = 2.0  # MiB; the kernel counts pages in batches of each core
    block = np.ones(64 * measuring.MIB // 8)
    held = measuring.peak_mib()
    del block
    assert measuring.peak_mib() >= held - slack
    assert held > 64


def test_stopwatch_sums_and_subtracts_parts():
    whole, part = Stopwatch(3.0, 4.0), Stopwatch(1.0, 1.5)
    assert whole.without(part, part) == Stopwatch(1.0, 1.0)
    owner = argparse.Namespace(work=lambda value, *, factor: value * factor)
    part.attach(owner, "work")
    assert owner.work(3, factor=2) == 6
    assert part.seconds > 1.0


def test_report_round_trip(capsys):
    measuring.report(10, {"perception": Stopwatch(2.0, 3.0)})
    (measured,) = measuring.measurements(json.loads(capsys.readouterr().out)).values()
    assert (measured.fps, measured.cpu_ms) == (5.0, 300.0)


def measurement(fps):
    return Measurement(frames=10, seconds=10 / fps, cpu_seconds=1.0, peak_mib=100.0)


def test_speeds_are_shares_of_mediapipe_in_the_same_round():
    busy = {"perception": measurement(4.0), "mediapipe 2": measurement(2.0)}
    idle = {"perception": measurement(30.0), "mediapipe 2": measurement(15.0)}
    names = set(job.MEANINGS) - set(busy)
    alone = {name: measurement(1.0) for name in names}
    args = argparse.Namespace(frames=10, rounds=2, people=1, cores=2, clip=Path("c.mp4"))
    text = job.as_markdown([busy, idle], alone, args)
    assert "| perception | 17.0 | 100.0 | 100 | 2.00 (2.00-2.00) |" in text


def test_growth_is_given_per_frame():
    rest = {"models": 1.0, "perception": 2.0, "reconstruction": 1.0, "seconds": 1.0}
    usages = [
        memory.Usage(frames=100, job=300.0, evidence=1.0, **rest),
        memory.Usage(frames=1124, job=310.0, evidence=6.0, **rest),
    ]
    parser = argparse.ArgumentParser()
    parser.add_argument("--cores", type=int, default=2)
    memory.add_arguments(parser)
    args = parser.parse_args(["--lengths", "100", "1124"])
    text = memory.as_markdown(usages, args)
    assert "grew by 10 MiB, 10.0 KiB a frame" in text and "by 5 MiB, 5.0 KiB a frame" in text
