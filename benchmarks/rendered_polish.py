"""The polish of clips, on rendered clips of held-out motion with BlazePose's own errors.

Run as `python -m benchmarks.rendered_polish CLIPS`, with the folders that
`benchmarks.rendered_clips` fills: errors of the learned descent's stages, of the same smoothed over
time, and of their polish. Where the person is, is compared along the ray to the true pelvis and
across it.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from benchmarks import measuring
from benchmarks.alignment import fit_config, measures, shape_errors
from benchmarks.fit import Scene, state_errors
from benchmarks.hund_clips import RAW
from benchmarks.picture_polish import LIMBS
from benchmarks.rendered_clips import read_scene
from hund_backend.body.camera import project
from hund_backend.body.model import BodyModel
from hund_backend.descent.build.estimator import BuildEstimator
from hund_backend.descent.fit.fit import FitConfig, fit
from hund_backend.descent.learned.hund import Hund
from hund_backend.descent.learned.track import descend
from hund_backend.descent.state import State
from hund_backend.prior.dynamics import Dynamics
from hund_backend.prior.pose_flow import PoseFlow

METHODS = ("stages", "smoothed", "polished", "polished with outlines")
METRICS = {
    "MPJPE": "mm",
    "PA-MPJPE": "mm",
    "pelvis": "mm by which its position is off",
    "depth": "mm of that along the ray to the true pelvis, absolute",
    "nearer": "the same, positive where it is too near",
    "wander": "mm, deviation of the error along the ray from its mean over the clip",
    "across": "mm across the ray",
    "stature": "mm, absolute error",
    "taller": "mm, positive where it is too tall",
    "girths": "mm, mean error of chest, waist and hip at the true stature",
    "to true": "thousandths of the crop's side between projected and true keypoints, limbs",
    "to detected": "the same to the detected ones",
    "acceleration": "error, m/s²",
    "jerk": "ratio to the truth's",
    "ms": "of processor time a frame",
}


def main() -> None:
    """Print a row of means for each method."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(args.cores)
    body, full = BodyModel.load("keypoints"), BodyModel.load("full")
    methods = load_methods(body, fit_config("none", args.set))
    paths = [path for folder in args.folders for path in sorted(folder.glob("*.safetensors"))]
    scenes = [read_scene(path, body) for path in paths[args.first :: args.every]]
    print(f"{len(scenes)} clips, {sum(len(each.joints) for each in scenes)} frames")
    print(f"| | {' | '.join(METRICS)} |")
    for name in args.methods:
        rows = []
        for number, each in enumerate(scenes):
            with measuring.Stopwatch() as watch:
                state = methods[name](each)
            cost = 1000 * watch.cpu_seconds / len(each.joints)
            rows.append([*errors(each, state, body, full), cost])
            if args.verbose:
                print(_row(f"{name} {number}", rows[-1]), flush=True)
        print(_row(name, np.mean(rows, axis=0)), flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("folders", nargs="+", type=Path, help="of rendered clips")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--first", type=int, default=0, help="number of the first clip")
    parser.add_argument("--every", type=int, default=1, help="step between clips")
    parser.add_argument("--verbose", action="store_true", help="a row for each clip, too")
    parser.add_argument(
        "--set", nargs="*", default=[], help="NAME=NUMBER of the fit, as energy.prior.weight=1"
    )


def load_methods(body: BodyModel, config: FitConfig) -> dict[str, Callable[[Scene], State]]:
    """Return the methods by their names."""
    prior = PoseFlow.load()
    hund, dynamics = Hund.load(body, prior), Dynamics.load(prior)
    estimator = BuildEstimator.load(body)

    def stages(each: Scene) -> State:
        return descend(each.evidence, each.fps, hund, body, prior, RAW).state

    def smoothed(each: Scene) -> State:
        return descend(each.evidence, each.fps, hund, body, prior, dynamics=dynamics).state

    def polished(each: Scene) -> State:
        return polish(each, None)

    def outlined(each: Scene) -> State:
        return polish(each, estimator)

    def polish(each: Scene, estimator: BuildEstimator | None) -> State:
        initial = smoothed(each)
        expected = estimator and estimator.estimate(each.evidence, initial)
        return fit(
            each.evidence,
            each.fps,
            body,
            prior,
            config,
            dynamics=dynamics,
            initial=initial,
            expected_betas=expected,
        ).state

    return dict(zip(METHODS, (stages, smoothed, polished, outlined), strict=True))


@torch.no_grad()
def errors(each: Scene, state: State, body: BodyModel, full: BodyModel) -> tuple[float, ...]:
    """Return METRICS of states, without the time."""
    mpjpe, pa_mpjpe, acceleration, jerk, true_jerk = state_errors(each, state, body)
    true_pelvis = each.joints[:, 0]
    offsets = state.root_translation.numpy().astype(float) - true_pelvis
    rays = true_pelvis / np.linalg.norm(true_pelvis, axis=-1, keepdims=True)
    along = (offsets * rays).sum(-1)
    across = np.linalg.norm(offsets - along[:, None] * rays, axis=-1)
    stature, *girths = shape_errors(state.betas[0], each.state.betas[0], full)
    height, true_height = (measures(full, it.betas[0])[0] for it in (state, each.state))
    intrinsics = torch.from_numpy(each.evidence.intrinsics)
    found, true = (
        project(body.keypoints(it.posed(body), "blazepose").double(), intrinsics)
        for it in (state, each.state)
    )
    detected = torch.from_numpy(each.evidence.keypoints[..., :2])
    side = torch.from_numpy(each.evidence.crops[:, 2].astype(float))[:, None]
    distances = [
        1000 * float(((found - points).norm(dim=-1) / side)[:, LIMBS].mean())
        for points in (true, detected)
    ]
    millimeters = 1000 * np.array(
        [
            np.linalg.norm(offsets, axis=-1).mean(),
            np.abs(along).mean(),
            -along.mean(),
            along.std(),
            across.mean(),
        ]
    )
    return (
        mpjpe,
        pa_mpjpe,
        *millimeters,
        stature,
        1000 * float(height - true_height),
        float(np.mean(girths)),
        *distances,
        acceleration,
        jerk / true_jerk,
    )


def _row(name: str, values: Float[np.ndarray, " metrics"] | list[float]) -> str:
    return f"| {name} | " + " | ".join(f"{value:.3g}" for value in values) + " |"


if __name__ == "__main__":
    main()
