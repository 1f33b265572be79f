"""Speed of the job and of its stages, beside the official mediapipe.

Run as `python -m benchmarks.job`. Every measurement has its own process and the same frames
(1080p). The job, its perception and the official mediapipe take turns, so that a busy machine slows
all of them.
"""

import argparse
import functools
import operator
import statistics
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import measuring
from benchmarks.clips import walker
from benchmarks.measuring import Measurement, Stopwatch
from benchmarks.official import command

PACKAGES = ("torch", "onnxruntime", "opencv-python-headless", "numpy")
COMPLEXITIES = (2, 1)
TARGETS = {
    "perception": 1.0,
    "body": 1.1,
}  # least speed, as a share of mediapipe's at complexity 2
MEANINGS = {
    "body": "clip to Reconstruction without hands and face, with the models loaded before",
    "hands": "the same with hands",
    "whole": "the same with hands and face",
    "perception": "decode, people, landmarks and tracking, as the job runs them",
    "decode": "reading every frame, and nothing else",
    "people": "the person detector, within perception",
    "landmarks": "the landmark network and its crops, within perception",
    "tracking": "the rest of perception: tracks, bookkeeping, waiting for frames",
    "pose": "the fit, from evidence in memory",
    "ground": "everything after the fit, in the same process",
    "mediapipe 2": "the official landmarks alone, complexity 2, decoding not counted",
    "mediapipe 1": "the same at complexity 1",
}
HEAD = """# The job beside the official mediapipe

{environment}
* `python -m benchmarks.job --frames {args.frames} --rounds {args.rounds} \
--people {args.people} --cores {args.cores}`
* {clip}; medians of {args.rounds} rounds; targets, of mediapipe at complexity 2: {targets}

| stage | frames/s | processor ms/frame | peak MiB | speed / mediapipe 2 | description |
| --- | --- | --- | --- | --- | --- |
"""
WITHIN = ("people", "landmarks", "tracking", "ground")  # in another measurement's process


def main() -> None:
    """Measure everything and write the result."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    if args.stage:
        STAGES[args.stage](args)
        return
    args.clip = args.clip or walker(args.frames)
    with tempfile.TemporaryDirectory() as folder:
        args.evidence = Path(folder) / "tracked.npz"
        rounds = [_one_round(args) for _ in range(args.rounds)]
        alone = _stage("decode", args) | _stage("pose", args)
    text = as_markdown(rounds, alone, args)
    print(text)
    if args.save:
        print(measuring.save("job", text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("--frames", type=int, default=230)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--people", type=int, default=1)
    parser.add_argument("--clip", type=Path, help="instead of the walker in 1080p")
    parser.add_argument("--evidence", type=Path, help="written by perception, read by pose")
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def measure_decode(args: argparse.Namespace) -> None:
    """Read every frame."""
    from hund_backend.video import open_clip

    watch = Stopwatch()
    with watch, open_clip(args.clip, end=args.frames - 1) as clip:
        frames = sum(1 for _ in clip)
    measuring.report(frames, {"decode": watch})


def measure_perception(args: argparse.Namespace) -> None:
    """Run perception and measure its networks; keep the evidence."""
    from hund_backend import evidence_file, pipeline, progress, stopwatch
    from hund_backend.models import Models

    models = Models.load("cpu")
    whole, people, landmarks = Stopwatch(), Stopwatch(), Stopwatch()
    people.attach(models.perception.person_detector, "detect")
    landmarks.attach(models.perception.landmark_network, "predict")
    with whole:
        tracked = pipeline.perceive(
            args.clip, _options(args), models, progress.silent, stopwatch.Stopwatch()
        )
    evidence_file.save(tracked, _options(args), args.evidence)
    tracking = whole.without(people, landmarks)
    parts = {"people": people, "landmarks": landmarks, "tracking": tracking}
    measuring.report(len(tracked.frame_numbers), {"perception": whole} | parts)


def measure_pose(args: argparse.Namespace) -> None:
    """Fit the body to the kept evidence, and find the ground."""
    from hund_backend import estimation, evidence_file, progress, stopwatch
    from hund_backend.models import Models

    models, (tracked, _) = Models.load("cpu"), evidence_file.load(args.evidence)
    total, pose = Stopwatch(), Stopwatch()
    pose.attach(estimation, "fit")
    with total:
        estimation.estimate(
            tracked, _options(args), models, progress.silent, stopwatch.Stopwatch()
        )
    measuring.report(len(tracked.frame_numbers), {"pose": pose, "ground": total.without(pose)})


def measure_job(
    args: argparse.Namespace, name: str = "body", *, hands: bool = False, face: bool = False
) -> None:
    """The job as a user runs it."""
    from hund_backend import pipeline
    from hund_backend.models import Models

    models, watch = Models.load("cpu"), Stopwatch()
    with watch:
        options = _options(args, hands=hands, face=face)
        reconstruction = pipeline.reconstruct(args.clip, options, models)
    measuring.report(len(reconstruction.times), {name: watch})


STAGES = {
    "decode": measure_decode,
    "perception": measure_perception,
    "pose": measure_pose,
    "body": measure_job,
    "hands": partial(measure_job, name="hands", hands=True),
    "whole": partial(measure_job, name="whole", hands=True, face=True),
}


def _options(
    args: argparse.Namespace,
    *,
    hands: bool = False,
    face: bool = False,
) -> "Options":  # noqa: F821
    from hund_backend.options import Options

    return Options(people=args.people, end=args.frames - 1, hands=hands, face=face)


def _one_round(args: argparse.Namespace) -> dict[str, Measurement]:
    measured = {}
    for complexity in COMPLEXITIES:
        answer = measuring.run(command(args.clip, args.frames, complexity))
        measured |= measuring.measurements(answer)
    jobs = [_stage(stage, args) for stage in ("body", "hands", "whole", "perception")]
    return functools.reduce(operator.or_, jobs, measured)


def _stage(stage: str, args: argparse.Namespace) -> dict[str, Measurement]:
    options = {
        name: getattr(args, name) for name in ("cores", "frames", "people", "clip", "evidence")
    }
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return measuring.measurements(measuring.run_stage("benchmarks.job", stage, *flags))


def as_markdown(
    rounds: list[dict[str, Measurement]],
    alone: dict[str, Measurement],
    args: argparse.Namespace,
) -> str:
    """Return medians over the rounds, and speeds as shares of mediapipe's in the same round."""
    lines = []
    for name, meaning in MEANINGS.items():
        samples = [values[name] for values in (*rounds, alone) if name in values]
        shares = [
            values[name].fps / values["mediapipe 2"].fps for values in rounds if name in values
        ]
        cells = [
            f"{statistics.median(sample.fps for sample in samples):.1f}",
            f"{statistics.median(sample.cpu_ms for sample in samples):.1f}",
            "" if name in WITHIN else f"{max(sample.peak_mib for sample in samples):.0f}",
            f"{statistics.median(shares):.2f} ({min(shares):.2f}-{max(shares):.2f})"
            if shares and name not in WITHIN
            else "",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} | {meaning} |")
    return HEAD.format(
        environment=measuring.environment(PACKAGES, args.cores),
        args=args,
        clip=args.clip.name,
        targets=", ".join(f"{name} {share} x" for name, share in TARGETS.items()),
    ) + "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
