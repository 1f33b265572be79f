"""The learned descent over clips with and without the filter of the evidence over time.

Run as `python -m benchmarks.evidence_windows MOCAP_FOLDER RENDERED_CLIPS`: rendered clips with
BlazePose's own errors (`benchmarks.rendered_clips`), and held-out motion with the imagined
detections of `benchmarks.fit`, by which no filter was trained.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks import measuring
from benchmarks.fit import scene, segments
from benchmarks.hund_clips import RAW, errors
from benchmarks.rendered_clips import read_scene
from hund_backend.body.model import BodyModel
from hund_backend.descent.fit.fit import FitConfig, fit
from hund_backend.descent.learned.evidence_filter import WEIGHTS_FILE, EvidenceFilter
from hund_backend.descent.learned.hund import Hund
from hund_backend.descent.learned.track import TrackConfig, descend
from hund_backend.prior.dynamics import Dynamics
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.training.motion.motion_set import motion_set

CONDITIONS = ("plain", "occluded")
LEAST_CONFIDENCE = 0.3  # mean of a clip: in others a job finds nobody


def main() -> None:
    """Print a row for each kind of clips, way and filter."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(1)
    body, prior = BodyModel.load("keypoints"), PoseFlow.load()
    hund, dynamics = Hund.load(body, prior), Dynamics.load(prior)
    poses = motion_set(args.mocap)
    rendered = [read_scene(path, body) for path in sorted(args.rendered.glob("*.safetensors"))]
    kinds = {
        "rendered": [s for s in rendered if s.evidence.keypoints[..., 2].mean() > LEAST_CONFIDENCE]
    }
    for condition in CONDITIONS:
        kinds[condition] = [
            scene(body, poses, frames, condition, seed)
            for seed, frames in enumerate(segments(poses, args.clips, 60))
        ]
    filters = {"each frame alone": None}
    filters |= {path.stem: EvidenceFilter.load(path) for path in args.filters}
    print("| clips | way | evidence | MPJPE | PA-MPJPE | position | acceleration error | jerk |")
    for kind, scenes in kinds.items():
        for name, evidence_filter in filters.items():
            smoothed = []
            for way, config in (("stages", RAW), ("smoothed", TrackConfig())):
                smoothed = [
                    descend(
                        *(each.evidence, each.fps, hund, body, prior, config),
                        dynamics=dynamics,
                        evidence_filter=evidence_filter,
                    ).state
                    for each in scenes
                ]
                row(kind, way, name, scenes, smoothed, body)
            polished = [
                fit(
                    *(each.evidence, each.fps, body, prior, FitConfig()),
                    dynamics=dynamics,
                    initial=state,
                ).state
                for each, state in zip(scenes, smoothed, strict=True)
            ]
            row(kind, "polished", name, scenes, polished, body)


def row(kind: str, way: str, name: str, scenes: list, states: list, body: BodyModel) -> None:
    """Print the mean errors of some clips."""
    pairs = zip(scenes, states, strict=True)
    mean = np.mean([errors(each, state, body) for each, state in pairs], axis=0)
    print(
        f"| {kind} ({len(scenes)}) | {way} | {name} | {mean[0]:.1f} | {mean[1]:.1f} | {mean[2]:.0f} "
        f"| {mean[3]:.2f} | {mean[4]:.0f} ({mean[5]:.0f}) |",
        flush=True,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("rendered", type=Path, help="folder of rendered clips")
    parser.add_argument("--filters", type=Path, nargs="*", default=[WEIGHTS_FILE])
    parser.add_argument("--clips", type=int, default=8, help="with imagined detections")


if __name__ == "__main__":
    main()
