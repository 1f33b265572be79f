"""The learned descent over clips: what steadying, learning from the clip and the polish are worth.

Run as `python -m benchmarks.hund_clips MOCAP_FOLDER`. The clips are those of `benchmarks.fit`
(held-out motion, imagined detections that are noisy, without legs, hidden, with a gap), so the lines
can be read beside the fit's. What the imagined detector does there, HUND has not been trained on.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks import measuring
from benchmarks.fit import JOINTS, Scene, figures, scene, segments
from hund_backend.body.model import BodyModel
from hund_backend.descent.fit.energy import EnergyConfig
from hund_backend.descent.fit.fit import FitConfig, fit
from hund_backend.descent.learned.adaptation import AdaptConfig, adapt
from hund_backend.descent.learned.hund import WEIGHTS_FILE, Hund
from hund_backend.descent.learned.inputs import NetworkInputs
from hund_backend.descent.learned.track import TrackConfig, descend
from hund_backend.descent.state import State
from hund_backend.prior.dynamics import Dynamics
from hund_backend.prior.pose_flow import WEIGHTS_FILE as FLOW_FILE
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.training.motion.motion_set import motion_set

PACKAGES = ("torch", "numpy")
CONDITIONS = ("plain", "truncated", "occluded", "gap")
RAW = TrackConfig(
    turn_noise=1e-4,
    orient_noise=1e-5,
    sideways_noise=1e-5,
    depth_noise=1e-5,
    sight_bound=False,
)
FREE = FitConfig(energy=EnergyConfig(anchor=0.0))  # a polish that forgets what was believed
LESSON = AdaptConfig(seconds=1e9)  # as many steps as there may be, on any machine
HEAD = """# The learned descent over clips

{environment}
* `python -m benchmarks.hund_clips MOCAP_FOLDER --clips {args.clips} --frames {args.frames}`
* errors of {joints} joints, mm: root-aligned, after Procrustes, of the pelvis's place in the camera
  frame; acceleration error m/s²; jerk m/s³ (that of the truth in brackets)

| condition | method | MPJPE | PA-MPJPE | place | acceleration error | jerk | s / frame |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True, kw_only=True)
class Way:
    """How states are made of a track's evidence."""

    name: str
    config: TrackConfig
    dynamics: Dynamics | None
    learns: bool = False
    polish: FitConfig | None = None


def main() -> None:
    """Follow every scene in every condition in every way, and print the table."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    body, prior = BodyModel.load("keypoints"), PoseFlow.load()
    hund = Hund.load(body, prior, args.weights)
    poses = motion_set(args.mocap)
    dynamics = Dynamics.load(FLOW_FILE)
    ways = (
        Way(name="stages alone", config=RAW, dynamics=None),
        Way(name="smooth_curve", config=TrackConfig(), dynamics=None),
        Way(name="smooth_curve, gaps by dynamics", config=TrackConfig(), dynamics=dynamics),
        Way(name="all by dynamics", config=TrackConfig(likely=True), dynamics=dynamics),
        Way(name="polished, unbound", config=TrackConfig(), dynamics=dynamics, polish=FREE),
        Way(name="polished", config=TrackConfig(), dynamics=dynamics, polish=FitConfig()),
        Way(name="adapted", config=TrackConfig(), dynamics=dynamics, learns=True),
        Way(
            name="adapted, polished",
            config=TrackConfig(),
            dynamics=dynamics,
            learns=True,
            polish=FitConfig(),
        ),
    )
    ways = tuple(way for way in ways if not args.ways or way.name in args.ways)
    places = segments(poses, args.clips, args.frames)
    rows = []
    for condition in CONDITIONS:
        scenes = [scene(body, poses, place, condition, seed) for seed, place in enumerate(places)]
        for way in ways:
            with measuring.Stopwatch() as watch:
                states = [_followed(each, hund, body, prior, way) for each in scenes]
            pairs = zip(scenes, states, strict=True)
            mean = np.mean([scored(each, state, body) for each, state in pairs], axis=0)
            cost = watch.cpu_seconds / (args.clips * args.frames)
            rows.append(
                f"| {condition} | {way.name} | {mean[0]:.1f} | {mean[1]:.1f} | {mean[2]:.0f} | "
                f"{mean[3]:.2f} | {mean[4]:.0f} ({mean[5]:.0f}) | {cost:.4f} |"
            )
            print(rows[-1], flush=True)
    environment = measuring.environment(PACKAGES, args.cores)
    text = HEAD.format(environment=environment, args=args, joints=len(JOINTS))
    text += "\n".join(rows) + "\n"
    if args.save:
        print(measuring.save("hund-clips", text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--ways", nargs="*", metavar="WAY", help="only these methods")
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def _followed(each: Scene, hund: Hund, body: BodyModel, prior: PoseFlow, way: Way) -> State:
    seen = each.evidence, each.intrinsics, each.fps
    if way.learns:
        frames = NetworkInputs.from_evidence(each.evidence, each.intrinsics, hund.decoder.bones)
        frames = frames.at(torch.from_numpy(each.evidence.observed).nonzero()[:, 0])
        hund, _ = adapt(hund, prior, frames, LESSON)
    found = descend(*seen, hund, body, prior, way.config, dynamics=way.dynamics).state
    if way.polish is None:
        return found
    return fit(*seen, body, prior, way.polish, dynamics=way.dynamics, start=found).state


def scored(each: Scene, state: State, body: BodyModel) -> tuple[float, ...]:
    """MPJPE, PA-MPJPE, place, acceleration error, jerk and the truth's jerk."""
    mpjpe, pa_mpjpe, *over_time = figures(each, state, body)
    missed = state.root_translation.numpy().astype(float) - each.joints[:, 0]
    return mpjpe, pa_mpjpe, float(1000 * np.linalg.norm(missed, axis=-1).mean()), *over_time


if __name__ == "__main__":
    main()
