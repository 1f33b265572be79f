"""Time and peak memory of work that runs in its own process."""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from hund_backend.atomic_write import write_file

ROOT = Path(__file__).parents[1]
MIB = 1024**2


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Time and memory of some work."""

    frames: int
    seconds: float
    cpu_seconds: float  # of all threads: less noisy than `seconds` on a shared machine
    peak_mib: float  # of the process, libraries included

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.frames / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Processor time per frame, ms."""
        return 1000 * self.cpu_seconds / self.frames


@dataclass
class Stopwatch:
    """Sums of wall and processor time of the `with` blocks that it is used for."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __enter__(self) -> Self:
        self._started = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._started[0]
        self.cpu_seconds += time.process_time() - self._started[1]

    def without(self, *parts: "Stopwatch") -> "Stopwatch":
        """Return the time of this work without parts of it."""
        return Stopwatch(
            self.seconds - sum(part.seconds for part in parts),
            self.cpu_seconds - sum(part.cpu_seconds for part in parts),
        )

    def attach(self, owner: object, function: str) -> None:
        """Measure every later call of a function of a module or an object."""
        function_to_time = getattr(owner, function)

        def timed(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
            with self:
                return function_to_time(*arguments, **named)

        setattr(owner, function, timed)


def peak_mib() -> float:
    """Return the largest resident memory of this process so far, MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would start with the peak of the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = MIB if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def limit_cores(cores: int) -> None:
    """Limit this process and its children to some cores; call it before libraries start."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(cores)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as the command line does


def run(command: Sequence[str]) -> dict[str, Any]:
    """Run a command and return the JSON object in its last line; errors go to our own stderr."""
    answer = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


def run_stage(module: str, stage: str, *arguments: str) -> dict[str, Any]:
    """Run one stage of a benchmark in a fresh process."""
    return run([sys.executable, "-m", module, "--stage", stage, *arguments])


def measurements(answer: dict[str, dict[str, float]]) -> dict[str, Measurement]:
    """Read what `report` printed."""
    return {name: Measurement(**values) for name, values in answer.items()}


def report(frames: int, watches: dict[str, Stopwatch]) -> None:
    """Print the measurements of this process, for the process that started it."""
    peak = peak_mib()
    measured = {
        name: Measurement(
            frames=frames, seconds=watch.seconds, cpu_seconds=watch.cpu_seconds, peak_mib=peak
        )
        for name, watch in watches.items()
    }
    print(json.dumps({name: asdict(values) for name, values in measured.items()}), flush=True)


def environment(packages: Sequence[str], cores: int) -> str:
    """Return commit, machine and versions as the head of a result."""
    git = ["git", "-C", str(ROOT)]
    commit = _said([*git, "rev-parse", "--short", "HEAD"]) or "unknown"
    changed = " with uncommitted changes" if _said([*git, "status", "--porcelain", "-uno"]) else ""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    return "\n".join(
        (
            f"* commit {commit}{changed}",
            f"* {_processor()}, {cores} of {os.cpu_count()} cores, {platform.system()}",
            f"* Python {platform.python_version()}, {versions}",
        )
    )


def save(name: str, text: str, folder: Path = ROOT / "benchmarks" / "results") -> Path:
    """Write a result as `<date>-<machine>-<name>.md`, with the command that made it."""
    machine = f"{platform.system()}-{platform.machine()}-{os.cpu_count()}-cores".lower()
    path = folder / f"{time.strftime('%Y-%m-%d')}-{machine}-{name}.md"
    write_file(path, text.encode())
    return path


def parse(doc: str, add: Callable[[argparse.ArgumentParser], None]) -> argparse.Namespace:
    """Arguments of a benchmark: those it adds, and those that all have."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--stage", help="measure this alone, in this process")
    add(parser)
    return parser.parse_args()


def _said(command: Sequence[str]) -> str:
    """Return what a command prints; nothing if it is missing or fails."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return answer.stdout.strip()


def _processor() -> str:
    """Name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
