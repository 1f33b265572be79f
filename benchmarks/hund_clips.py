"""The learned descent over clips, with and without smoothing, adaptation and polish.

Run as `python -m benchmarks.hund_clips MOCAP_FOLDER`. The clips are those of `benchmarks.fit`
(held-out motion, simulated detections that are noisy, without legs, hidden, with a gap), so the
rows compare with the fit's. HUND was not trained on this simulated detector.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks import measuring
from benchmarks.fit import JOINTS, Scene, scene, segments, state_errors
from hund_backend.body.model import BodyModel
from hund_backend.descent.fit.energy import EnergyConfig
from hund_backend.descent.fit.fit import FitConfig, fit
from hund_backend.descent.fit.terms.pose_anchor import PoseAnchorConfig
from hund_backend.descent.learned.adaptation import AdaptConfig, adapt
from hund_backend.descent.learned.hund import WEIGHTS_FILE, Hund
from hund_backend.descent.learned.inputs import NetworkInputs
from hund_backend.descent.learned.track import TrackConfig, descend
from hund_backend.descent.state import State
from hund_backend.prior.dynamics import Dynamics
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.training.motion.motion_set import motion_set

PACKAGES = ("torch", "numpy")
CONDITIONS = ("plain", "truncated", "occluded", "gap")
RAW = TrackConfig(
    rotation_noise=1e-4,
    orient_noise=1e-5,
    sideways_noise=1e-5,
    depth_noise=1e-5,
    solves_translation=False,
)
FREE = FitConfig(
    energy=EnergyConfig(anchor=PoseAnchorConfig(weight=0.0))
)  # polish without the pose anchor
ADAPT = AdaptConfig(seconds=1e9)  # limited by steps, not by time, on any machine
HEAD = """# The learned descent over clips

{environment}
* `python -m benchmarks.hund_clips MOCAP_FOLDER --clips {args.clips} --frames {args.frames}`
* errors of {joints} joints, mm: root-aligned, after Procrustes, of the pelvis' position in the
  camera frame; acceleration error m/s²; jerk m/s³ (that of the truth in brackets)

| condition | method | MPJPE | PA-MPJPE | position | acceleration error | jerk | s / frame |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True, kw_only=True)
class Method:
    """Method from a track's evidence to states."""

    name: str
    config: TrackConfig
    dynamics: Dynamics | None
    adapts: bool = False
    polish: FitConfig | None = None


def main() -> None:
    """Run every method on every scene in every condition, and print the table."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    body, prior = BodyModel.load("keypoints"), PoseFlow.load()
    hund = Hund.load(body, prior, args.weights)
    poses = motion_set(args.mocap)
    dynamics = Dynamics.load(prior)
    methods = all_methods(dynamics)
    methods = tuple(each for each in methods if not args.methods or each.name in args.methods)
    slices = segments(poses, args.clips, args.frames)
    rows = []
    for condition in CONDITIONS:
        scenes = [
            scene(body, poses, frames, condition, seed) for seed, frames in enumerate(slices)
        ]
        for method in methods:
            with measuring.Stopwatch() as watch:
                states = [solved(each, hund, body, prior, method) for each in scenes]
            pairs = zip(scenes, states, strict=True)
            mean = np.mean([errors(each, state, body) for each, state in pairs], axis=0)
            cost = watch.cpu_seconds / (args.clips * args.frames)
            rows.append(
                f"| {condition} | {method.name} | {mean[0]:.1f} | {mean[1]:.1f} | {mean[2]:.0f} | "
                f"{mean[3]:.2f} | {mean[4]:.0f} ({mean[5]:.0f}) | {cost:.4f} |"
            )
            print(rows[-1], flush=True)
    environment = measuring.environment(PACKAGES, args.cores)
    text = HEAD.format(environment=environment, args=args, joints=len(JOINTS))
    text += "\n".join(rows) + "\n"
    if args.save:
        print(measuring.save("hund-clips", text))


def all_methods(dynamics: Dynamics) -> tuple[Method, ...]:
    """Return the methods that are compared."""
    return (
        Method(name="stages alone", config=RAW, dynamics=None),
        Method(name="smoothed", config=TrackConfig(), dynamics=None),
        Method(name="smoothed, gaps by dynamics", config=TrackConfig(), dynamics=dynamics),
        Method(
            name="all by dynamics", config=TrackConfig(smooths_latents=True), dynamics=dynamics
        ),
        Method(name="polished, unbound", config=TrackConfig(), dynamics=dynamics, polish=FREE),
        Method(name="polished", config=TrackConfig(), dynamics=dynamics, polish=FitConfig()),
        Method(name="adapted", config=TrackConfig(), dynamics=dynamics, adapts=True),
        Method(
            name="adapted, polished",
            config=TrackConfig(),
            dynamics=dynamics,
            adapts=True,
            polish=FitConfig(),
        ),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--methods", nargs="*", metavar="METHOD", help="only these")
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def solved(each: Scene, hund: Hund, body: BodyModel, prior: PoseFlow, method: Method) -> State:
    """Return the states that a method finds in a scene."""
    track = each.evidence, each.fps
    if method.adapts:
        frames = NetworkInputs.from_evidence(each.evidence, hund.decoder.bones)
        frames = frames.select(torch.from_numpy(each.evidence.observed).nonzero()[:, 0])
        hund, _ = adapt(hund, prior, frames, ADAPT)
    state = descend(*track, hund, body, prior, method.config, dynamics=method.dynamics).state
    if method.polish is None:
        return state
    return fit(*track, body, prior, method.polish, dynamics=method.dynamics, initial=state).state


def errors(each: Scene, state: State, body: BodyModel) -> tuple[float, ...]:
    """Return MPJPE, PA-MPJPE, position error, acceleration error, jerk and the truth's jerk."""
    mpjpe, pa_mpjpe, *over_time = state_errors(each, state, body)
    offsets = state.root_translation.numpy().astype(float) - each.joints[:, 0]
    return mpjpe, pa_mpjpe, float(1000 * np.linalg.norm(offsets, axis=-1).mean()), *over_time


if __name__ == "__main__":
    main()
