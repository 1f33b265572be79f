"""How fast is the job, what does each stage need, and how does it stand beside mediapipe?

Run as `python -m benchmarks.job`. Every measurement has a process of its own and sees the same
frames (1080p). The job, its eyes and the official mediapipe take turns, so that a busy machine
slows all of them.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks import measuring
from benchmarks.clips import walker
from benchmarks.measuring import Measurement, Stopwatch
from benchmarks.official import command

PACKAGES = ("torch", "onnxruntime", "opencv-python-headless", "numpy")
COMPLEXITIES = (2, 1)
TARGETS = {"eyes": 1.0, "whole": 0.4}  # least speed, as a share of mediapipe's at complexity 2
MEANINGS = {
    "whole": "clip to Reconstruction, with the models loaded before",
    "eyes": "decode, people, look and follow, as the job runs them",
    "decode": "reading every frame, and nothing else",
    "people": "the networks that find people, within the eyes' run",
    "look": "cutting crops and the landmark network, within the eyes' run",
    "follow": "the rest of the eyes' run: tracks, bookkeeping, waiting for frames",
    "descend": "the fit, from evidence in memory",
    "ground": "everything after the fit, in the same process",
    "mediapipe 2": "the official landmarks alone, complexity 2, decoding not counted",
    "mediapipe 1": "the same at complexity 1",
}
HEAD = """# The job beside the official mediapipe

{environment}
* `python -m benchmarks.job --frames {chosen.frames} --rounds {chosen.rounds} \
--people {chosen.people} --cores {chosen.cores}`
* {clip}; medians of {chosen.rounds} rounds; targets, of mediapipe at complexity 2: {targets}

| stage | frames/s | processor ms/frame | peak MiB | speed / mediapipe 2 | what |
| --- | --- | --- | --- | --- | --- |
"""
WITHIN = ("people", "look", "follow", "ground")  # share the process, so its peak, with others


def main() -> None:
    """Measure everything and write the result."""
    chosen = measuring.parse(__doc__, arguments)
    measuring.limit_cores(chosen.cores)
    if chosen.stage:
        STAGES[chosen.stage](chosen)
        return
    chosen.clip = chosen.clip or walker(chosen.frames)
    with tempfile.TemporaryDirectory() as folder:
        chosen.sight = Path(folder) / "sight.npz"
        rounds = [_one_round(chosen) for _ in range(chosen.rounds)]
        alone = _stage("decode", chosen) | _stage("descend", chosen)
    text = as_markdown(rounds, alone, chosen)
    print(text)
    if chosen.save:
        print(measuring.save("job", text))


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen besides the cores."""
    parser.add_argument("--frames", type=int, default=230)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--people", type=int, default=1)
    parser.add_argument("--clip", type=Path, help="instead of the walker in 1080p")
    parser.add_argument("--sight", type=Path, help="evidence: eyes write it, descend reads it")
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def measure_decode(chosen: argparse.Namespace) -> None:
    """Read every frame."""
    from hund_backend.video import open_clip

    watch = Stopwatch()
    with watch, open_clip(chosen.clip, end=chosen.frames - 1) as clip:
        frames = sum(1 for _ in clip)
    measuring.report(frames, {"decode": watch})


def measure_eyes(chosen: argparse.Namespace) -> None:
    """Watch the clip, and what the networks take of it; keep the evidence."""
    from benchmarks.sights import save_sight
    from hund_backend import pipeline, progress, stopwatch

    models = pipeline.Models.load("cpu")
    eyes, people, look = Stopwatch(), Stopwatch(), Stopwatch()
    people.attach(models.eyes.detector, "find")
    look.attach(models.eyes.pose, "look")
    with eyes:
        sight = pipeline.perceive(
            chosen.clip, _options(chosen), models, progress.silent, stopwatch.Stopwatch()
        )
    save_sight(sight, chosen.sight)
    parts = {"people": people, "look": look, "follow": eyes.without(people, look)}
    measuring.report(len(sight.numbers), {"eyes": eyes} | parts)


def measure_descend(chosen: argparse.Namespace) -> None:
    """Fit the body to the evidence that the eyes kept, and ground it."""
    from benchmarks.sights import load_sight
    from hund_backend import pipeline, progress, stopwatch

    models, sight = pipeline.Models.load("cpu"), load_sight(chosen.sight, chosen.clip)
    total, descend = Stopwatch(), Stopwatch()
    descend.attach(pipeline, "fit")
    with total:
        pipeline.estimate(sight, _options(chosen), models, progress.silent, stopwatch.Stopwatch())
    measuring.report(len(sight.numbers), {"descend": descend, "ground": total.without(descend)})


def measure_whole(chosen: argparse.Namespace) -> None:
    """The job as a user runs it."""
    from hund_backend import pipeline

    models, watch = pipeline.Models.load("cpu"), Stopwatch()
    with watch:
        reconstruction = pipeline.reconstruct(chosen.clip, _options(chosen), models)
    measuring.report(len(reconstruction.times), {"whole": watch})


STAGES = {
    "decode": measure_decode,
    "eyes": measure_eyes,
    "descend": measure_descend,
    "whole": measure_whole,
}


def _options(chosen: argparse.Namespace) -> "Options":  # noqa: F821
    from hund_backend.options import Options

    return Options(people=chosen.people, end=chosen.frames - 1)


def _one_round(chosen: argparse.Namespace) -> dict[str, Measurement]:
    measured = {}
    for complexity in COMPLEXITIES:
        answer = measuring.run(command(chosen.clip, chosen.frames, complexity))
        measured |= measuring.measurements(answer)
    return _stage("whole", chosen) | _stage("eyes", chosen) | measured


def _stage(stage: str, chosen: argparse.Namespace) -> dict[str, Measurement]:
    options = {
        name: getattr(chosen, name) for name in ("cores", "frames", "people", "clip", "sight")
    }
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return measuring.measurements(measuring.run_stage("benchmarks.job", stage, *flags))


def as_markdown(
    rounds: list[dict[str, Measurement]],
    alone: dict[str, Measurement],
    chosen: argparse.Namespace,
) -> str:
    """Medians over the rounds, and speeds as a share of mediapipe's in the same round."""
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
        environment=measuring.environment(PACKAGES, chosen.cores),
        chosen=chosen,
        clip=chosen.clip.name,
        targets=", ".join(f"{name} {share} x" for name, share in TARGETS.items()),
    ) + "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
