"""The polish of single pictures, on held-out synthetic pictures with BlazePose's detections.

Run as `python -m benchmarks.picture_polish DETECTIONS`: errors of the learned descent's last stage,
of its polish without and with outlines, and of the fit without it; of all pictures and of those
whose keypoints are right.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from benchmarks import measuring
from benchmarks.alignment import fit_config, shape_errors
from hund_backend.body.model import BodyModel
from hund_backend.body.procrustes import similarity_aligned
from hund_backend.body.skeleton import JOINT_INDEX
from hund_backend.descent.build.estimator import BuildEstimator
from hund_backend.descent.fit.fit import fit
from hund_backend.descent.learned.hund import Hund
from hund_backend.descent.learned.track import descend
from hund_backend.descent.reduced_body import REDUCED_JOINTS
from hund_backend.descent.state import State
from hund_backend.perception.blazepose import BlazePose
from hund_backend.perception.crop_detector import MASK_SIZE, downsampled_mask
from hund_backend.perception.evidence import Evidence
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.training.builds.samples import evidence_of
from hund_backend.training.hund.detections import Detections
from hund_backend.training.hund.samples import MIN_DEPTH, PictureDataset
from hund_backend.training.pictures.shards import PictureSet
from hund_backend.weights_file import WEIGHTS

LIMBS = slice(11, 29)  # BlazePose's keypoints from the shoulders to the ankles
RIGHT = 0.03  # of the crop's width: mean error of the limbs' keypoints of a picture seen right
FPS = 30.0  # of a single picture: means nothing
METHODS = ("stages", "polished", "outlined", "fit")


def main() -> None:
    """Print a row for each method."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(args.cores)
    body, low, full = (BodyModel.load(name) for name in ("keypoints", "low", "full"))
    prior = PoseFlow.load()
    hund = Hund.load(body, prior)
    detections = Detections.read(args.detections, "held_out")
    generator = torch.Generator().manual_seed(args.seed)
    picks = torch.randperm(len(detections), generator=generator)[: args.count]
    dataset = PictureDataset(detections, hund.decoder, mirror=False)
    is_right = keypoint_errors(dataset)[picks] < RIGHT
    config = fit_config("mask" if args.parts else "none", args.set)
    skin = low if args.parts else None
    estimator = BuildEstimator.load(body)
    masks = masks_of(
        None if args.pictures is None else PictureSet(args.pictures, "held_out"), picks.tolist()
    )

    def stages(evidence: Evidence) -> State:
        return descend(evidence, FPS, hund, body, prior).state

    def polished(evidence: Evidence) -> State:
        initial = stages(evidence)
        return fit(evidence, FPS, body, prior, config, skin=skin, initial=initial).state

    def outlined(evidence: Evidence) -> State:
        initial = stages(evidence)
        build = estimator.estimate(evidence, initial)
        return fit(
            evidence, FPS, body, prior, config, skin=skin, initial=initial, expected_betas=build
        ).state

    def fitted(evidence: Evidence) -> State:
        return fit(evidence, FPS, body, prior, config, skin=skin).state

    methods: dict[str, Callable[[Evidence], State]] = dict(
        zip(METHODS, (stages, polished, outlined, fitted), strict=True)
    )
    print(f"{args.count} pictures, {int(is_right.sum())} of them seen right")
    print("| | MPJPE | PA-MPJPE | seen right: MPJPE | PA-MPJPE | stature | girths | s |")
    for name in args.methods:
        rows, shapes = [], []
        with measuring.Stopwatch() as watch:
            for index in picks.tolist():
                evidence = evidence_of(detections, index, masks[index])
                if args.parts:
                    evidence = replace(evidence, parts=detections.parts[index : index + 1])
                state = methods[name](evidence)
                rows.append(pose_errors(state, detections, index, low))
                true = torch.from_numpy(detections.betas[index])
                shapes.append(shape_errors(state.betas[0], true, full))
        found = np.array(rows)
        means = [
            *found.mean(0),
            *found[is_right.numpy()].mean(0),
            np.mean(shapes, axis=0)[0],
            np.mean(shapes, axis=0)[1:].mean(),
        ]
        cells = " | ".join(f"{mean:.1f}" for mean in means)
        print(f"| {name} | {cells} | {watch.cpu_seconds / args.count:.2f} |", flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("detections", type=Path, help="folder that detections.py fills")
    parser.add_argument("--count", type=int, default=60, help="pictures")
    parser.add_argument("--seed", type=int, default=11, help="of the choice of pictures")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--pictures", type=Path, help="their folder: for masks, of outlines")
    parser.add_argument("--parts", action="store_true", help="with part maps, as in high quality")
    parser.add_argument(
        "--set", nargs="*", default=[], help="NAME=NUMBER of the fit, as energy.prior.weight=1"
    )


def masks_of(
    pictures: PictureSet | None, picks: list[int]
) -> dict[int, UInt8[np.ndarray, "1 64 64"]]:
    """Return BlazePose's masks of some pictures; empty ones without pictures."""
    if pictures is None:
        return {index: np.zeros((1, MASK_SIZE, MASK_SIZE), np.uint8) for index in picks}
    found = BlazePose.open(WEIGHTS / "perception").predict(
        np.stack([pictures.image(index) for index in picks])
    )
    return {
        index: downsampled_mask(mask)[None] for index, mask in zip(picks, found.masks, strict=True)
    }


def keypoint_errors(dataset: PictureDataset) -> torch.Tensor:
    """Return each picture's mean error of the limbs' keypoints, fractions of the crop's width."""
    points = dataset.truth.posed.points
    true = points[..., :2] / points[..., 2:].clamp(min=MIN_DEPTH)
    residuals = dataset.inputs.keypoints - true / dataset.inputs.crop_width[:, None, None]
    return residuals.norm(dim=-1)[:, LIMBS].mean(1)


def pose_errors(
    state: State, detections: Detections, index: int, low: BodyModel
) -> tuple[float, float]:
    """Return MPJPE and PA-MPJPE of the reduced joints, mm."""
    row = slice(index, index + 1)
    rotations, betas = (
        torch.from_numpy(values[row]) for values in (detections.rotations, detections.betas)
    )
    joints = [JOINT_INDEX[name] for name in REDUCED_JOINTS]
    true = low(rotations[:, 1:], betas, global_orient=rotations[:, 0]).joints[:, joints]
    found = state.posed(low).joints[:, joints]
    true, found = true - true[:, :1], found - found[:, :1]
    aligned = similarity_aligned(found, true)
    errors = [1000 * float((each - true).norm(dim=-1).mean()) for each in (found, aligned)]
    return errors[0], errors[1]


if __name__ == "__main__":
    main()
