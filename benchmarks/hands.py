"""The learned descent of hands against gradient descent, stage by stage, on held-out hands.

Run as `python -m benchmarks.hands HANDS MOCAP DETECTIONS`. Takes, shapes and pictures of hands are
not those of training: close-ups with what the real detector said of them, and other hands with its
errors (`training/hands/detected_samples.py`).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from benchmarks import measuring
from hund_backend.body.hand import HandModel
from hund_backend.body.procrustes import similarity_aligned
from hund_backend.descent.hands.hund import WEIGHTS_FILE, HandHund
from hund_backend.descent.learned.network import Step
from hund_backend.prior.pose_flow import HAND_WEIGHTS_FILE, PoseFlow
from hund_backend.training.hands.detected_samples import DetectedHands, detected_sample
from hund_backend.training.hands.detections import HandDetections
from hund_backend.training.hands.metrics import (
    joint_error_deg,
    keypoint_error,
    pa_mpjpe_mm,
    wrist_error_deg,
)
from hund_backend.training.hands.samples import HandDataset, HandSample
from hund_backend.training.priors.hand_captures import hand_captures
from hund_backend.training.priors.train_hand_flow import HandPoseSampler, HandRecipe

MARKS, RATE = (20, 100, 300), 0.05  # iterations of the fit that are scored; rate of Adam
NEAR = 0.05  # of the hand's size: detections that are right
COLUMNS = ("PA-MPJPE mm", f"the same, within {NEAR:.0%}", "joints °", "wrist °", "L", "lower %")
HEAD = """# The learned descent of hands on held-out synthetic hands

{environment}
* {count} hands; keypoints are {error:.1f} % of the hand's size off ({near:.0f} % of hands within
  {limit:.0%}), landmarks {landmarks:.1f} mm (PA)
* PA-MPJPE of the 21 points, for all hands and for those whose keypoints are within {limit:.0%};
  mean angle of the 15 finger joints; L is the loss that stages receive and the fit minimizes;
  "lower" is the share of hands whose L is below that of s_0; ms of processor time a hand

| | {columns} | ms |
| --- |{rule} --- |
"""


def main() -> None:
    """Print the table."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(args.cores)
    model, prior = HandModel.load(), PoseFlow.load(HAND_WEIGHTS_FILE)
    hund = HandHund.load(model, prior, args.weights)
    captures = hand_captures(args.hands, args.mocap, model, args.captures)
    poses = HandPoseSampler(captures, HandRecipe(), held_out=True)
    generator = torch.Generator().manual_seed(7)
    detections = HandDetections.read(args.detections, "held_out")
    real = detected_sample(detections, hund.decoder)
    sample = DetectedHands(HandDataset(poses, hund.decoder), real).draw(args.count, generator)
    text = head(sample, args.cores) + table(hund, sample)
    print(text)
    if args.save:
        print(measuring.save("hands", text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("hands", type=Path, help="folder of recorded hands")
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("detections", type=Path, help="folder of the detections of close-ups")
    parser.add_argument("--captures", type=Path, help="poses taken over before, or to be kept")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--count", type=int, default=512, help="hands")
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def head(sample: HandSample, cores: int) -> str:
    """Return what stands above the rows."""
    error = keypoint_error(sample.inputs, sample.truth)
    points = sample.truth.points
    landmarks = similarity_aligned(sample.inputs.landmarks, points) - points
    return HEAD.format(
        environment=measuring.environment(("torch",), cores),
        count=len(sample.inputs),
        error=100 * float(error.mean()),
        near=100 * float((error < NEAR).float().mean()),
        limit=NEAR,
        landmarks=1000 * float(landmarks.norm(dim=-1).mean()),
        columns=" | ".join(COLUMNS),
        rule=" --- |" * len(COLUMNS),
    )


def table(hund: HandHund, sample: HandSample) -> str:
    """Return the rows: stages of the descent, then the fit."""
    near = keypoint_error(sample.inputs, sample.truth) < NEAR
    count = len(sample.inputs)
    with torch.no_grad():
        hund(sample.inputs)  # what is prepared once does not count
        with measuring.Stopwatch() as watch:
            steps = hund(sample.inputs)
    whole = 1000 * watch.cpu_seconds / count
    stages = len(steps) - 1
    rows = [
        row(f"s_{i}", step, sample, steps[0], near, whole * (i + 1) / (stages + 1))
        for i, step in enumerate(steps)
    ]
    wanted = float(steps[-1].losses.total.mean())
    reached = ""
    flat = hund.first_guess.expand(count, -1).clone().requires_grad_(True)
    optimizer, cost = torch.optim.Adam([flat], lr=RATE), 0.0
    for iteration in range(1, max(MARKS) + 1):
        with measuring.Stopwatch() as watch:
            loss = hund.evaluate(flat, sample.inputs).losses.total.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        cost += 1000 * watch.cpu_seconds / count
        # The loss is that before the step.
        if not reached and float(loss.detach()) / count <= wanted:
            reached = f"\nThe fit reaches the last stage's loss at iteration {iteration - 1}, "
            reached += f"after {cost / whole:.0f} times the time of all stages.\n"
        if iteration in MARKS:
            with torch.no_grad():
                step = hund.evaluate(flat, sample.inputs)
            rows.append(row(f"fit, {iteration} iterations", step, sample, steps[0], near, cost))
    return "\n".join(rows) + "\n" + reached


@torch.no_grad()
def row(
    name: str,
    step: Step,
    sample: HandSample,
    start: Step,
    near: Bool[Tensor, " batch"],
    milliseconds: float,
) -> str:
    """Return a row of the table."""
    error, loss = pa_mpjpe_mm(step.posed, sample.truth), step.losses.total
    lower = 100 * (loss < start.losses.total).float()
    columns: Sequence[Float[Tensor, " some"]] = (
        error,
        error[near],
        joint_error_deg(step.posed, sample.truth),
        wrist_error_deg(step.posed, sample.truth),
        loss,
        lower,
    )
    cells = [f"{float(values.mean()):.2f}" for values in columns]
    return f"| {name} | {' | '.join(cells)} | {milliseconds:.3f} |"


if __name__ == "__main__":
    main()
