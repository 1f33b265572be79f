"""The learned descent against gradient descent, stage by stage, on held-out synthetic people.

Run as `python -m benchmarks.hund MOCAP_FOLDER DETECTIONS`. Subjects, takes and body shapes are not
those of training: captured motion with the detector's errors in held-out pictures, and those
pictures themselves with their detections.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks import measuring
from hund_backend.body.model import BodyModel
from hund_backend.body.procrustes import similarity_aligned
from hund_backend.descent.learned.hund import WEIGHTS_FILE, Hund
from hund_backend.descent.learned.network import Step
from hund_backend.descent.learned.state_decoder import PosedState
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.training.hund.detections import Detections
from hund_backend.training.hund.metrics import pose_metrics
from hund_backend.training.hund.samples import MotionDataset, PictureDataset, Sample
from hund_backend.training.motion.motion_set import motion_set

PACKAGES = ("torch", "numpy")
MARKS = (20, 100, 300)  # iterations of the fits that are scored
RATES = {"the mean": 0.05, "s_0": 0.02, "s_M": 0.02}  # of Adam
SPEED_FRAMES = 1024
HEAD = """# The learned descent on held-out synthetic people

{environment}
* `python -m benchmarks.hund MOCAP_FOLDER DETECTIONS --count {count} --lbfgs-frames {few}`; weights
  {weights}
* errors in mm: joints root-aligned (MPJPE) and after Procrustes (PA), vertices root-aligned
  (MPVPE), pelvis in the camera frame; L is the loss that stages receive and fits minimize; "lower"
  is the share of people whose L is below that of s_0; ms of processor time per person

"""
COLUMNS = ("MPJPE", "PA-MPJPE", "MPVPE", "translation", "L", "lower %", "ms")


@dataclass(frozen=True, kw_only=True)
class Row:
    """Row of the table."""

    name: str
    values: tuple[float, ...]

    def __str__(self) -> str:
        cells = [
            f"{value:.2f}" if COLUMNS[i] in ("L", "ms") else f"{value:.0f}"
            for i, value in enumerate(self.values)
        ]
        return f"| {self.name} | {' | '.join(cells)} |"


class Scorer:
    """Scores states of one set of people."""

    def __init__(self, hund: Hund, sample: Sample) -> None:
        self.hund, self.sample = hund, sample
        self.skin = BodyModel.load("low")
        self.truth = self._vertices(sample.truth.posed, sample.truth.betas)
        with torch.no_grad():
            self.start = hund(sample.inputs, 0)[0]

    @torch.no_grad()
    def row(self, name: str, step: Step, milliseconds: float) -> Row:
        """Return the row of a state."""
        loss = step.losses.total
        mean = pose_metrics(step.posed, loss, self.sample.truth).means()
        distance = (self._vertices(step.posed, step.vector.betas) - self.truth).norm(dim=-1).mean()
        lower = 100 * (loss < self.start.losses.total).float().mean()
        values = (mean["mpjpe_mm"], mean["pa_mpjpe_mm"], 1000 * float(distance))
        rest = (mean["translation_mm"], mean["loss"], float(lower), milliseconds)
        return Row(name=name, values=(*values, *rest))

    def _vertices(self, posed: PosedState, betas: Tensor) -> Float[Tensor, "batch vertices 3"]:
        identity = torch.eye(3).expand(len(betas), 3, 3)
        state = self.hund.decoder.state(posed, betas, identity)
        return self.skin(state.pose, state.betas, global_orient=state.global_orient).vertices


def main() -> None:
    """Print the tables."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(args.cores)
    torch.manual_seed(0)
    body, prior = BodyModel.load("keypoints"), PoseFlow.load()
    hund = Hund.load(body, prior, args.weights)
    environment = measuring.environment(PACKAGES, args.cores)
    text = HEAD.format(
        environment=environment,
        count=args.count,
        few=args.lbfgs_frames,
        weights=_sha256(args.weights),
    )
    for name, sample in held_out(hund, args.mocap, args.detections, args.count).items():
        text += f"## {name}\n\n" + table(hund, sample, args.lbfgs_frames)
        print(text.rpartition("## ")[2], flush=True)
    text += speeds(hund, args.mocap)
    print(text)
    if args.save:
        print(measuring.save("hund", text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument(
        "detections", type=Path, help="folder that training/hund/detections.py fills"
    )
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--count", type=int, default=256, help="people of each kind")
    parser.add_argument("--lbfgs-frames", type=int, default=16, help="0 leaves L-BFGS out")
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def held_out(hund: Hund, mocap: Path, detections: Path, count: int) -> dict[str, Sample]:
    """Return people of held-out motion and of held-out pictures."""
    recorded = Detections.read(detections, "held_out")
    pictures = PictureDataset(recorded, hund.decoder, mirror=False)
    motion = MotionDataset(motion_set(mocap), "held_out", hund.decoder, pictures.errors())
    generator = torch.Generator().manual_seed(7)
    indices = torch.randperm(len(pictures), generator=generator)[:count]
    return {"motion": motion.draw(count, generator), "pictures": pictures.select(indices)}


def table(hund: Hund, sample: Sample, few: int) -> str:
    """Return the rows of one set of people."""
    scorer, count = Scorer(hund, sample), len(sample.inputs)
    rows = [landmark_row(sample)]
    with torch.no_grad(), measuring.Stopwatch() as watch:
        steps = hund(sample.inputs, 8)
    each = 1000 * watch.cpu_seconds / count / len(steps)
    rows += [scorer.row(f"s_{i}", step, each * (i + 1)) for i, step in enumerate(steps)]
    starts = {
        "the mean": hund.mean_state.repeat(count, 1),
        "s_0": steps[0].vector.flat(),
        "s_M": steps[hund.config.stages].vector.flat(),
    }
    for name, flat in starts.items():
        for mark, milliseconds, found in adam(hund, sample, flat, RATES[name]):
            title = f"Adam {mark} from {name}"
            rows.append(scorer.row(title, hund.evaluate(found, sample.inputs), milliseconds))
    if few:
        part = Sample(sample.inputs.select(slice(0, few)), sample.truth.select(slice(0, few)))
        subset_scorer = Scorer(hund, part)
        for stage in (0, hund.config.stages):
            reached = hund.evaluate(steps[stage].vector.flat()[:few], part.inputs)
            rows.append(
                subset_scorer.row(f"s_{stage} (of the first {few})", reached, each * (stage + 1))
            )
        for name in ("the mean", "s_M"):
            for mark in MARKS:
                found, milliseconds = lbfgs(hund, part, starts[name][:few], mark)
                title = f"L-BFGS {mark} from {name} (of the first {few})"
                rows.append(
                    subset_scorer.row(title, hund.evaluate(found, part.inputs), milliseconds)
                )
    lines = [f"| | {' | '.join(COLUMNS)} |", "|" + " --- |" * (len(COLUMNS) + 1)]
    return "\n".join([*lines, *map(str, rows)]) + "\n\n"


def landmark_row(sample: Sample) -> str:
    """Return the row of the detector's own 3D keypoints."""
    points = sample.truth.posed.points
    distance = (similarity_aligned(sample.inputs.landmarks, points) - points).norm(dim=-1).mean()
    return f"| detector's landmarks (its 33 points) | | {1000 * distance:.0f} | | | | | |"


def adam(
    hund: Hund, sample: Sample, flat: Float[Tensor, "batch numbers"], rate: float
) -> list[tuple[int, float, Tensor]]:
    """Return states after each of `MARKS` iterations of Adam on L, with their processor time."""
    flat = flat.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([flat], lr=rate)
    found, started = [], time.process_time()
    for iteration in range(1, max(MARKS) + 1):
        optimizer.zero_grad()
        hund.evaluate(flat, sample.inputs).losses.total.sum().backward()
        optimizer.step()
        if iteration in MARKS:
            elapsed = 1000 * (time.process_time() - started) / len(flat)
            found.append((iteration, elapsed, flat.detach().clone()))
    return found


def lbfgs(
    hund: Hund, sample: Sample, flat: Float[Tensor, "batch numbers"], iterations: int
) -> tuple[Float[Tensor, "batch numbers"], float]:
    """Return states after iterations of L-BFGS on L, and the processor time per person."""
    found, started = flat.detach().clone(), time.process_time()
    for person in range(len(flat)):
        inputs = sample.inputs.select(slice(person, person + 1))
        state = flat[person : person + 1].detach().clone().requires_grad_()
        optimizer = torch.optim.LBFGS(
            [state], max_iter=iterations, history_size=20, line_search_fn="strong_wolfe"
        )
        optimizer.step(_closure(hund, state, inputs, optimizer))
        found[person] = state.detach()[0]
    return found, 1000 * (time.process_time() - started) / len(flat)


def _closure(
    hund: Hund, state: Tensor, inputs: object, optimizer: torch.optim.Optimizer
) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = hund.evaluate(state, inputs).losses.total.sum()
        loss.backward()
        return loss

    return closure


@torch.no_grad()
def speeds(hund: Hund, mocap: Path) -> str:
    """Return the frames per second of the stages alone, on evidence without parts."""
    people = MotionDataset(motion_set(mocap), "held_out", hund.decoder, None)
    inputs = people.draw(SPEED_FRAMES, torch.Generator().manual_seed(0)).inputs
    best = []
    for _ in range(5):
        with measuring.Stopwatch() as watch:
            hund.descend(inputs)
        best.append(watch)
    wall, cpu = min(w.seconds for w in best), min(w.cpu_seconds for w in best)
    speed = f"{SPEED_FRAMES / wall:.0f} frames/s ({1000 * cpu / SPEED_FRAMES:.2f} ms of processor"
    return f"{hund.config.stages} stages, states of all stages: {speed} time a frame)\n"


def _sha256(path: Path) -> str:
    return json.loads(path.with_suffix(".json").read_text())["sha256"][:12]


if __name__ == "__main__":
    main()
