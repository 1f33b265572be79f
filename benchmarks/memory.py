"""Growth of the job's memory with the length of a clip, beyond the evidence itself.

Run as `python -m benchmarks.memory`. The walker walks back and forth for 230 and for 2,300 frames.
`--size 3840 2160` is 4K; `--seldom` has nobody in view for nine tenths of the time.
"""

import argparse
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from benchmarks import measuring
from benchmarks.clips import FULL_HD, seldom_walker, walker
from benchmarks.measuring import MIB, Stopwatch, peak_mib
from hund_backend.options import DEFAULT_QUALITY, QUALITIES

PACKAGES = ("torch", "onnxruntime", "opencv-python-headless", "numpy")
HEAD = """# Memory and the length of a clip

{environment}
* `python -m benchmarks.memory {flags}`
* target: at most 3 GiB, and no growth beyond the evidence

| frames | models MiB | peak of perception MiB | peak of the job MiB | evidence MiB \
| Reconstruction MiB | frames/s |
| --- | --- | --- | --- | --- | --- | --- |
"""
FOOT = """
From {first} to {last} frames the peak grew by {growth:.0f} MiB, {per_frame:.1f} KiB a frame; the
evidence by {evidence:.0f} MiB, {evidence_per_frame:.1f} KiB a frame.
"""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Memory of one job, MiB."""

    frames: int
    models: float  # peak before the first frame
    perception: float  # peak when the evidence was complete
    job: float  # peak at the end
    evidence: float  # size of the arrays
    reconstruction: float
    seconds: float


def main() -> None:
    """Measure every length and write the result."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    if args.stage:
        print(json.dumps(asdict(measure(int(args.stage), args))), flush=True)
        return
    usages = [_in_a_process(length, args) for length in args.lengths]
    text = as_markdown(usages, args)
    print(text)
    if args.save:
        print(measuring.save("memory", text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("--lengths", type=int, nargs="+", default=[230, 2300])
    parser.add_argument("--people", type=int, default=1)
    parser.add_argument("--size", type=int, nargs=2, default=FULL_HD, metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--seldom", action="store_true", help="hardly anybody is in view")
    parser.add_argument("--quality", choices=QUALITIES, default=DEFAULT_QUALITY)
    parser.add_argument("--stride", type=int, help="process every N-th frame; all are read")
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def measure(frames: int, args: argparse.Namespace) -> Usage:
    """Run the job on a number of frames, in this process."""
    from hund_backend import estimation, pipeline, progress, stopwatch
    from hund_backend.models import Models
    from hund_backend.options import Options
    from hund_backend.perception.evidence import Evidence
    from hund_backend.reconstruction import LAYOUT

    clip, chosen = _clip(frames, args), QUALITIES[args.quality]
    options = Options(
        people=args.people,
        stride=args.stride or chosen.stride,
        polish=chosen.polish,
        parts=chosen.parts,
        face=chosen.face,
        hands=chosen.hands,
    )
    models, watch, stages = Models.load("cpu"), Stopwatch(), stopwatch.Stopwatch()
    loaded = peak_mib()
    with watch:
        tracked = pipeline.perceive(clip, options, models, progress.silent, stages)
        perception_peak = peak_mib()
        reconstruction = estimation.estimate(tracked, options, models, progress.silent, stages)
    evidence = [getattr(e, field.name) for e in tracked.people for field in fields(Evidence)]
    return Usage(
        frames=frames,
        models=loaded,
        perception=perception_peak,
        job=peak_mib(),
        evidence=_size_mib(evidence),
        reconstruction=_size_mib([getattr(reconstruction, name) for name in LAYOUT]),
        seconds=watch.seconds,
    )


def as_markdown(usages: list[Usage], args: argparse.Namespace) -> str:
    """Return a row for each length, and the growth from the first to the last."""
    lines = [
        f"| {u.frames} | {u.models:.0f} | {u.perception:.0f} | {u.job:.0f} | {u.evidence:.1f} | "
        f"{u.reconstruction:.1f} | {u.frames / u.seconds:.1f} |"
        for u in usages
    ]
    head = HEAD.format(
        environment=measuring.environment(PACKAGES, args.cores),
        flags=" ".join(("--lengths", *map(str, args.lengths), *_flags(args))),
    )
    first, last = usages[0], usages[-1]
    frames = max(last.frames - first.frames, 1)
    foot = FOOT.format(
        first=first.frames,
        last=last.frames,
        growth=last.job - first.job,
        per_frame=1024 * (last.job - first.job) / frames,
        evidence=last.evidence - first.evidence,
        evidence_per_frame=1024 * (last.evidence - first.evidence) / frames,
    )
    return head + "\n".join([*lines, ""]) + foot


def _in_a_process(length: int, args: argparse.Namespace) -> Usage:
    _clip(length, args)  # not in the measured process: writing a clip needs memory, too
    return Usage(**measuring.run_stage("benchmarks.memory", str(length), *_flags(args)))


def _clip(length: int, args: argparse.Namespace) -> Path:
    return (seldom_walker if args.seldom else walker)(length, tuple(args.size))


def _flags(args: argparse.Namespace) -> list[str]:
    """Return the arguments that are the same for every length."""
    named = ("people", "cores", "quality")
    flags = [text for name in named for text in (f"--{name}", str(getattr(args, name)))]
    flags += ["--size", *map(str, args.size), *(["--seldom"] if args.seldom else [])]
    return [*flags, *(["--stride", str(args.stride)] if args.stride else [])]


def _size_mib(values: list[object]) -> float:
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray)) / MIB


if __name__ == "__main__":
    main()
