"""Accuracy of HUND's weights on everything with a known truth, as one table.

Run as `python -m benchmarks.accuracy EVAL MOCAP DETECTIONS RENDERED_CLIPS`. `--hund` puts other
weights beside the shipped ones. Perception and figures are kept in a folder, so the table can be
measured part by part; what is there is not measured again.

Nothing of it is trained on: photographs of the kits, held-out motion with the errors of the
detector, held-out synthetic pictures, and clips rendered of held-out motion.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from benchmarks import measuring
from benchmarks.fit import Scene, scene, segments
from benchmarks.hund import RATES, adam, held_out
from benchmarks.hund_clips import Method, all_methods, errors, solved
from benchmarks.perception_cache import PerceptionCache
from benchmarks.rendered_clips import read_scene
from hund_backend.atomic_write import write_file
from hund_backend.body.camera import default_intrinsics
from hund_backend.descent.learned.hund import WEIGHTS_FILE, Hund
from hund_backend.descent.refocus import refocused_evidence
from hund_backend.evaluation.kits import read_kit
from hund_backend.evaluation.metrics import bootstrap_interval, mean_of
from hund_backend.evaluation.report import evaluate
from hund_backend.models import Models
from hund_backend.options import Options
from hund_backend.training.hund.metrics import StageMetrics, pose_metrics
from hund_backend.training.hund.samples import Sample
from hund_backend.training.motion.motion_set import MotionSet, motion_set

PACKAGES = ("torch", "numpy", "onnxruntime")
KITS = ("mpi_inf_3dhp", "lspet")
PARTS = (*KITS, "people", "rendered", "clips")
PERCEPTION = Options(face=False, hands=False)
PICTURE_METHODS = {
    "stages": replace(PERCEPTION, polish=False),
    "stages, polished": PERCEPTION,
}
CLIP_METHODS = ("stages alone", "smoothed, gaps by dynamics", "polished")
ADAM_ITERATIONS = 100
SHARE_OF_TIME = 20  # HUND's condition: the loss of Adam's iterations at one 20th of their time
COLUMNS = {
    "mpjpe_mm": "MPJPE mm",
    "pa_mpjpe_mm": "PA-MPJPE mm",
    "pck_torso_20": "PCK@0.2 torso %",
    "pck_head_50": "PCK@0.5 head %",
    "translation_mm": "pelvis mm",
    "jerk": "jerk m/s³",
    "loss": "L",
    "ms": "ms",
}
HEAD = """# Accuracy

{environment}
* `python -m benchmarks.accuracy EVAL MOCAP DETECTIONS RENDERED_CLIPS --parts {parts}`
* means with 95 % bootstrap intervals (pictures, people and clips are resampled); PCK counts a
  picture in which nobody is found as wrong
* real pictures: joints that the detector's landmarks define as well; people: single frames; clips:
  held-out motion, {clips} clips of {frames} frames; pelvis: in the camera frame; ms: processor time
  of a person
* weights: {weights}

"""

Figure = tuple[float, float | None, float | None]  # mean and 95 % interval


@dataclass(frozen=True, kw_only=True)
class Row:
    """Row of the table."""

    data: str
    method: str
    weights: str  # empty where the figures do not depend on them
    figures: dict[str, Figure]


class Bench:
    """Data and models of the benchmark, each loaded when first needed."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args

    @cached_property
    def models(self) -> Models:
        """The shipped models."""
        return Models.load("cpu")

    @cached_property
    def perception(self) -> PerceptionCache:
        """What perception finds in the kits."""
        return PerceptionCache(self.models, self.args.keep / "perception")

    @cached_property
    def motion(self) -> MotionSet:
        """Captured motion."""
        return motion_set(self.args.mocap)

    def hund(self, path: Path) -> Hund:
        """Return the network of some weights."""
        return Hund.load(self.models.body, self.models.prior, path)

    def clip_methods(self) -> Iterator[Method]:
        """Yield the methods that clips are measured with."""
        assert self.models.dynamics is not None
        methods = all_methods(self.models.dynamics)
        yield from (method for method in methods if method.name in CLIP_METHODS)


def main() -> None:
    """Measure what is missing, and print the table."""
    args = measuring.parse(__doc__, add_arguments)
    # One process shares the machine with others: only processor time is measured.
    torch.set_num_threads(args.cores)
    torch.manual_seed(0)
    bench = Bench(args)
    rows = [row for part in args.parts for row in part_rows(bench, part)]
    text = HEAD.format(
        environment=measuring.environment(PACKAGES, args.cores),
        parts=" ".join(args.parts),
        clips=args.clips,
        frames=args.frames,
        weights=", ".join(map(_label, args.hund)),
    )
    text += as_markdown(rows)
    print(text)
    if args.save:
        print(measuring.save("accuracy", text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("eval", type=Path, help="folder of the kits")
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument(
        "detections", type=Path, help="folder that training/hund/detections.py fills"
    )
    parser.add_argument("rendered", type=Path, help="folder of rendered clips")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--hund", type=Path, nargs="+", default=[WEIGHTS_FILE], metavar="WEIGHTS")
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=PICTURE_METHODS,
        default=list(PICTURE_METHODS),
        metavar="METHOD",
        help="that pose photographs",
    )
    parser.add_argument("--most", type=int, default=1000, help="most photographs of a kit")
    parser.add_argument("--count", type=int, default=500, help="people of each kind")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--frames", type=int, default=60, help="of a clip")
    parser.add_argument("--keep", type=Path, default=measuring.ROOT / "out" / "accuracy")
    parser.add_argument("--again", action="store_true", help="measure what is kept as well")
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def part_rows(bench: Bench, part: str) -> list[Row]:
    """Return the rows of a part for all weights; those of equal data and method stand together."""
    rows: dict[tuple[str, str], list[Row]] = {}
    for path in bench.args.hund:
        for row in kept_rows(bench, part, path):
            together = rows.setdefault((row.data, row.method), [])
            if row.weights or not together:
                together.append(row)
    return [row for together in rows.values() for row in together]


def kept_rows(bench: Bench, part: str, path: Path) -> list[Row]:
    """Return the rows of a part for some weights, measured if they are not kept."""
    args = bench.args
    measure, inputs = {
        **dict.fromkeys(
            KITS, (lambda: kit_rows(bench, part, path), [args.eval, args.most, *args.methods])
        ),
        "people": (lambda: people_rows(bench, path), [args.mocap, args.detections, args.count]),
        "rendered": (lambda: rendered_rows(bench, path), [args.rendered]),
        "clips": (lambda: clip_rows(bench, path), [args.mocap, args.clips, args.frames]),
    }[part]
    named = [str(each.resolve() if isinstance(each, Path) else each) for each in inputs]
    digest = hashlib.sha256("\n".join([part, _sha256(path), *named]).encode()).hexdigest()
    kept = args.keep / f"{part}-{path.stem}-{digest[:12]}.json"
    if args.again or not kept.exists():
        rows = [row.__dict__ for row in measure()]
        args.keep.mkdir(parents=True, exist_ok=True)
        write_file(kept, json.dumps(rows, indent=1).encode())
    return [Row(**row) for row in json.loads(kept.read_text())]


def kit_rows(bench: Bench, name: str, path: Path) -> Iterator[Row]:
    """Yield the rows of photographs, with intrinsics guessed, and given where they are known."""
    models = replace(bench.models, hund=bench.hund(path))
    kit = read_kit(bench.args.eval / name)
    kit = replace(kit, frames=kit.frames[: bench.args.most])
    guessed = replace(kit, frames=tuple(replace(f, intrinsics=None) for f in kit.frames))
    kits = {f"{name}, {len(kit.frames)} photographs": guessed}
    if any(frame.intrinsics is not None for frame in kit.frames):
        kits[f"{name}, intrinsics given"] = kit
    for data, frames in kits.items():
        for method in bench.args.methods:
            options = PICTURE_METHODS[method]
            (scored,) = evaluate(
                [frames],
                lambda request, options=options: bench.perception.predict(
                    request, options, perception=PERCEPTION, models=models
                ),
                bench.models.body,
            )["kits"]
            *_, own, detector = scored["rows"]
            if method == bench.args.methods[0]:
                yield _kit_row(data, "detector", "", detector)
            yield _kit_row(data, method, _label(path), own)


def _kit_row(data: str, method: str, weights: str, scored: dict) -> Row:
    figures = {
        name: (score["mean"], score["low"], score["high"])
        for name, score in scored["figures"].items()
        if name in COLUMNS
    }
    return Row(data=data, method=method, weights=weights, figures=figures)


def people_rows(bench: Bench, path: Path) -> Iterator[Row]:
    """Yield the rows of single people of held-out motion and of held-out synthetic pictures."""
    hund, args = bench.hund(path), bench.args
    for kind, sample in held_out(hund, args.mocap, args.detections, args.count).items():
        data = f"held-out {kind}, {args.count} people"
        for method, metrics, milliseconds in _descents(hund, sample):
            figures = {
                name: _figure(getattr(metrics, name).numpy().astype(float))
                for name in ("mpjpe_mm", "pa_mpjpe_mm", "translation_mm", "loss")
            }
            figures["ms"] = (milliseconds, None, None)
            yield Row(data=data, method=method, weights=_label(path), figures=figures)


def _descents(hund: Hund, sample: Sample) -> Iterator[tuple[str, StageMetrics, float]]:
    """Yield the last stage and Adam's iterations from the mean, with processor times, ms."""
    stages, count = hund.config.stages, len(sample.inputs)
    times = []
    for _ in range(3):
        with torch.no_grad(), measuring.Stopwatch() as watch:
            last = hund(sample.inputs, stages)[-1]
        times.append(1000 * watch.cpu_seconds / count)
    yield f"s_{stages}", pose_metrics(last.posed, last.losses.total, sample.truth), min(times)
    found = adam(hund, sample, hund.mean_state.repeat(count, 1), RATES["the mean"])
    for iterations, milliseconds, flat in found:
        if iterations == ADAM_ITERATIONS:
            with torch.no_grad():
                step = hund.evaluate(flat, sample.inputs)
            metrics = pose_metrics(step.posed, step.losses.total, sample.truth)
            yield f"Adam, {iterations} from the mean", metrics, milliseconds


def rendered_rows(bench: Bench, path: Path) -> Iterator[Row]:
    """Yield the rows of rendered clips with the detector's own errors."""
    files = sorted(bench.args.rendered.glob("*.safetensors"))
    given = [read_scene(file, bench.models.body) for file in files]
    guessed = [_with_guessed_intrinsics(each) for each in given]
    yield from _scene_rows(f"rendered, {len(files)} clips", guessed, bench, path)
    yield from _scene_rows("rendered, intrinsics given", given, bench, path)


def _with_guessed_intrinsics(each: Scene) -> Scene:
    """Return a scene for whose camera the focal length is guessed; its center is the frame's."""
    intrinsics = each.evidence.intrinsics[0]
    width, height = (round(2 * float(center)) for center in intrinsics[:2, 2])
    ratio = default_intrinsics(width, height)[0, 0] / intrinsics[0, 0]
    return replace(each, evidence=refocused_evidence(each.evidence, float(ratio)))


def clip_rows(bench: Bench, path: Path) -> Iterator[Row]:
    """Yield the rows of held-out motion with a simulated detector, intrinsics given."""
    slices = segments(bench.motion, bench.args.clips, bench.args.frames)
    scenes = [
        scene(bench.models.body, bench.motion, frames, "plain", seed)
        for seed, frames in enumerate(slices)
    ]
    yield from _scene_rows(f"held-out motion, {len(scenes)} clips", scenes, bench, path)


def _scene_rows(data: str, scenes: list[Scene], bench: Bench, path: Path) -> Iterator[Row]:
    hund, body, prior = bench.hund(path), bench.models.body, bench.models.prior
    for method in bench.clip_methods():
        rows = np.array(
            [errors(each, solved(each, hund, body, prior, method), body) for each in scenes]
        )
        if method.name == CLIP_METHODS[0]:
            truth = {"jerk": _figure(rows[:, 5])}
            yield Row(data=data, method="truth", weights="", figures=truth)
        columns = {"mpjpe_mm": 0, "pa_mpjpe_mm": 1, "translation_mm": 2, "jerk": 4}
        figures = {name: _figure(rows[:, column]) for name, column in columns.items()}
        yield Row(data=data, method=method.name, weights=_label(path), figures=figures)


def _figure(values: Float[np.ndarray, " items"]) -> Figure:
    """Return mean and interval of values that are resampled one by one."""
    return mean_of(values), *bootstrap_interval(values, np.arange(len(values)))


def as_markdown(rows: list[Row]) -> str:
    """Return the table, and whether HUND's condition is met."""
    used = [name for name in COLUMNS if any(name in row.figures for row in rows)]
    titles = ["data", "method", "weights", *(COLUMNS[name] for name in used)]
    lines = [f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]
    for row in rows:
        cells = [_cell(name, row.figures.get(name)) for name in used]
        lines.append(f"| {' | '.join([row.data, row.method, row.weights, *cells])} |")
    return "\n".join(lines) + "\n\n" + "".join(conditions(rows))


def conditions(rows: list[Row]) -> Iterator[str]:
    """Yield a line for each row of people: is its loss Adam's, at a 20th of Adam's time?"""
    with_loss = [row for row in rows if "loss" in row.figures]
    for row in with_loss:
        for other in with_loss:
            is_pair = (row.data, row.weights) == (other.data, other.weights)
            if not is_pair or not row.method.startswith("s_") or other is row:
                continue
            loss, limit = row.figures["loss"][0], other.figures["loss"][0]
            share = other.figures["ms"][0] / row.figures["ms"][0]
            met = "met" if loss <= limit and share >= SHARE_OF_TIME else "missed"
            yield (
                f"* {row.data}, {row.weights}: L {loss:.2f} at 1/{share:.0f} of the time of "
                f"{other.method}, whose L is {limit:.2f}: {met}\n"
            )


def _cell(name: str, figure: Figure | None) -> str:
    if figure is None:
        return ""
    digits = 2 if name in ("loss", "ms") else 1
    mean, low, high = figure
    interval = "" if low is None else f" ({low:.{digits}f} … {high:.{digits}f})"
    return f"{mean:.{digits}f}{interval}"


def _label(path: Path) -> str:
    """Return a name for weights by which others of the same file name stand apart."""
    return f"{path.stem} {_sha256(path)[:6]}"


def _sha256(path: Path) -> str:
    return json.loads(path.with_suffix(".json").read_text())["sha256"]


if __name__ == "__main__":
    main()
