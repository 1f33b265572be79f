"""Errors of the real hand network on rendered hands, beside the simulated ones.

Run as `python -m benchmarks.hand_detections HANDS MOCAP DETECTIONS`; the detections come from
`hund_backend/training/hands/detections.py`.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from benchmarks import measuring
from hund_backend.body.hand import PALM_POINTS, TIP_POINTS, HandModel
from hund_backend.body.procrustes import similarity_aligned
from hund_backend.descent.hands.state_decoder import HandDecoder
from hund_backend.prior.pose_flow import HAND_WEIGHTS_FILE, PoseFlow
from hund_backend.training.hands.detected_samples import detected_sample
from hund_backend.training.hands.detections import HandDetections
from hund_backend.training.hands.metrics import keypoint_error, rotation_angle_deg
from hund_backend.training.hands.samples import HandDataset, HandSample
from hund_backend.training.priors.hand_captures import hand_captures
from hund_backend.training.priors.train_hand_flow import HandPoseSampler, HandRecipe

NEAR = 0.05  # of the hand's size
SURE = 0.8  # confidence
SIZES = ((16, 48), (48, 96), (96, 400))  # px


def main() -> None:
    """Print the tables."""
    args = measuring.parse(__doc__, add_arguments)
    torch.set_num_threads(args.cores)
    model = HandModel.load()
    decoder = HandDecoder(model, PoseFlow.load(HAND_WEIGHTS_FILE))
    detections = HandDetections.read(args.detections, args.split)
    real = detected_sample(detections, decoder)
    captures = hand_captures(args.hands, args.mocap, model, args.captures)
    poses = HandPoseSampler(captures, HandRecipe(), held_out=args.split == "held_out")
    simulated = HandDataset(poses, decoder).draw(
        len(real.inputs), torch.Generator().manual_seed(0)
    )
    print(found(detections))
    sure = real.inputs.confidence.mean(-1) > SURE
    everything = torch.ones(len(sure), dtype=torch.bool)
    rows = {
        "simulated": errors(simulated, everything),
        "measured": errors(real, everything),
        f"measured, confidence above {SURE}": errors(real, sure),
    }
    print(f"\n| | {' | '.join(rows)} |\n| --- |{' --- |' * len(rows)}")
    for name in rows["simulated"]:
        print(f"| {name} | {' | '.join(f'{row[name]:.1f}' for row in rows.values())} |")
    print("\n| confidence | right | hands |\n| --- | --- | --- |")
    error, confidence = keypoint_error(*real), real.inputs.confidence.mean(-1)
    for low in np.arange(0.2, 1.0, 0.2):
        chosen = (confidence >= low) & (confidence < low + 0.2)
        right = 100 * (error[chosen] < 0.1).float().mean()
        print(f"| {low:.1f}–{low + 0.2:.1f} | {right:.0f} % | {int(chosen.sum())} |")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("hands", type=Path, help="folder of recorded hands")
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("detections", type=Path, help="folder of the detections of close-ups")
    parser.add_argument("--captures", type=Path, help="poses taken over before, or to be kept")
    parser.add_argument("--split", choices=("train", "held_out"), default="train")


def found(detections: HandDetections) -> str:
    """Return the shares of hands that are found, and of sides that are mistaken."""
    kept = detections.found
    wrong = (detections.right > 0.5) != (detections.side == 1)
    lines = [
        f"{len(kept)} hands, {100 * kept.mean():.0f} % found",
        f"{100 * wrong[kept].mean():.0f} % of those taken for the other side",
    ]
    for low, high in SIZES:
        of_size = (detections.length_px >= low) & (detections.length_px < high)
        lines.append(f"{low}–{high} px: {100 * kept[of_size].mean():.0f} % of {of_size.sum()}")
    return "\n".join(lines)


def errors(sample: HandSample, chosen: Bool[Tensor, " hands"]) -> dict[str, float]:
    """Return the figures of a source of detections, per cent of the hand's size unless said."""
    inputs, truth = sample
    error = keypoint_error(inputs, truth)[chosen]
    exact = truth.points[..., :2] / truth.points[..., 2:] / inputs.crop_width[:, None, None]
    size = (exact.amax(1) - exact.amin(1)).amax(-1)[:, None, None]
    offsets = (100 * (inputs.keypoints - exact) / size)[chosen]
    usable = error < 2 * NEAR  # so that lost hands do not hide what the others have in common
    landmarks = similarity_aligned(inputs.landmarks, truth.points) - truth.points
    palm = rotation_angle_deg(inputs.palm_rotation, truth.rotations[:, 0])[chosen]
    tips, palms = list(TIP_POINTS), list(PALM_POINTS)

    def deviation(points: list[int]) -> float:
        return float(offsets[usable][:, points].square().sum(-1).mean().sqrt())

    return {
        "keypoints, mean": 100 * float(error.mean()),
        "keypoints, median": 100 * float(error.median()),
        "hands within 5 %, %": 100 * float((error < NEAR).float().mean()),
        "palm's points, RMS": deviation(palms),
        "tips, RMS": deviation(tips),
        "shared by all points, RMS": float(offsets[usable].mean(1).square().sum(-1).mean().sqrt()),
        "correlation within a finger": correlation(offsets[usable], same=True),
        "correlation between fingers": correlation(offsets[usable], same=False),
        "landmarks after Procrustes, mm": 1000 * float(landmarks[chosen].norm(dim=-1).mean()),
        "palm's rotation by landmarks, median °": float(palm.median()),
    }


def correlation(offsets: Float[Tensor, "hands 21 2"], *, same: bool) -> float:
    """Return the mean correlation (× 100) of the errors of middle joints and tips."""
    finger = torch.tensor([f for f in range(5) for _ in range(2)])
    rows = [row for first in (3, 7, 11, 15, 19) for row in (first, first + 1)]
    values = offsets[:, rows] - offsets.mean(1, keepdim=True)
    values = values - values.mean(0)
    covariance = torch.einsum("hik,hjk->ij", values, values)
    scale = covariance.diagonal().sqrt()
    matrix = covariance / scale[:, None] / scale
    apart = ~torch.eye(len(rows), dtype=torch.bool)
    mates = (finger[:, None] == finger) & apart
    return 100 * float(matrix[mates if same else ~mates & apart].mean())


if __name__ == "__main__":
    main()
