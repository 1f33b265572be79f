"""Training on unlabeled clips: supervised, self-supervised and mixed regime side by side.

Run as `python -m benchmarks.hund_regimes MOCAP DETECTIONS --learn CLIP … --judge CLIP …`. Every
regime starts from the shipped weights and takes the same number of steps. Clips without ground
truth are scored on their evidence (reprojection errors, and how often the part map disagrees with a
limb) and on their consistency (accelerations, and how much the build varies).
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks import measuring
from hund_backend.body.model import BodyModel
from hund_backend.descent.learned.hund import TERMS, WEIGHTS_FILE, Hund
from hund_backend.descent.learned.inputs import concatenate
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.training.hund.clip_consistency import ClipTrack, ClipWindows
from hund_backend.training.hund.detections import Detections
from hund_backend.training.hund.metrics import stage_metrics
from hund_backend.training.hund.samples import MotionDataset, PictureDataset, Sample
from hund_backend.training.hund.train_hund import (
    HundRecipe,
    MixedDataset,
    clip_tracks,
    train,
    validation_samples,
)
from hund_backend.training.motion.motion_set import motion_set
from hund_backend.training.priors.augmentation import AugmentationConfig

PACKAGES = ("torch", "numpy")
REGIMES = ("supervised", "self_supervised", "mixed")
MIN_CONFIDENCE = 0.5  # of keypoints that count
NEAREST = 0.1  # metres: smallest depth in projections
HEAD = """# What the learned descent learns from unlabeled people

{environment}
* `python -m benchmarks.hund_regimes MOCAP DETECTIONS --learn … --judge … \
--steps {args.steps} --batch {args.batch}`
* {learned} frames to train on, {judged} of other clips to score; reprojection error of s_M, % of
  the crop's width; share of limbs' middles where the part map disagrees; mean acceleration of the
  joints about the pelvis, m/s²; standard deviation of the betas; synthetic validation people,
  MPJPE / PA-MPJPE in mm

| | other clips: L | keypoints | parts | accelerations | betas | training clips: L | synthetic \
motion | synthetic pictures |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Data that networks are scored on."""

    train_clips: list[ClipTrack]
    other_clips: list[ClipTrack]
    synthetic: dict[str, Sample]

    @torch.no_grad()
    def row(self, name: str, hund: Hund) -> str:
        """Return the row of a network."""
        inputs = concatenate([track.inputs for track in self.other_clips])
        other = hund(inputs)[-1]
        own = hund(concatenate([track.inputs for track in self.train_clips]))[-1]
        points = other.posed.points
        rays = points[..., :2] / points[..., 2:].clamp(min=NEAREST)
        errors = (rays / inputs.crop_width[:, None, None] - inputs.keypoints).norm(dim=-1)
        errors = 100 * errors[inputs.confidence > MIN_CONFIDENCE].mean()
        wrong_parts = other.losses.terms[:, TERMS.index("parts")].mean()
        accelerations, builds = self._consistency(hund)
        cells = [f"{other.losses.total.mean():.3f}", f"{errors:.2f}", f"{100 * wrong_parts:.1f} %"]
        cells += [f"{accelerations:.2f}", f"{builds:.3f}", f"{own.losses.total.mean():.3f}"]
        for sample in self.synthetic.values():
            last = stage_metrics(hund(sample.inputs), sample.truth)[-1].means()
            cells.append(f"{last['mpjpe_mm']:.1f} / {last['pa_mpjpe_mm']:.1f}")
        return f"| {name} | {' | '.join(cells)} |"

    def _consistency(self, hund: Hund) -> tuple[float, float]:
        """Return mean acceleration, and standard deviation of the betas, in the other clips."""
        accelerations, builds = [], []
        for track in self.other_clips:
            last = hund(track.inputs)[-1]
            joints = (
                last.posed.joints - last.posed.joints[:, :1]
            ) @ track.inputs.camera_from_crop.mT
            follow = track.frame[2:] - track.frame[:-2] == 2
            moved = joints.diff(n=2, dim=0)[follow] * track.fps**2
            accelerations.append(moved[:, 1:].norm(dim=-1).flatten())
            builds.append((last.vector.betas - last.vector.betas.mean(0)).square().mean(-1))
        return float(torch.cat(accelerations).mean()), float(torch.cat(builds).mean().sqrt())


def main() -> None:
    """Train in each regime from the same weights, and print the table."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(args.cores)
    body, prior = BodyModel.load("keypoints"), PoseFlow.load()
    hund = Hund.load(body, prior, args.weights)
    bones = hund.decoder.bones
    benchmark = Benchmark(
        train_clips=clip_tracks(args.learn, bones),
        other_clips=clip_tracks(args.judge, bones),
        synthetic=validation_samples(motion_set(args.mocap), args.detections, hund),
    )
    rows = [benchmark.row("before", hund)]
    print(rows[-1], flush=True)
    for regime in args.regimes:
        trained = Hund.load(body, prior, args.weights).train().requires_grad_(True)
        pictures = PictureDataset(Detections.read(args.detections, "train"), trained.decoder)
        motion = MotionDataset(
            motion_set(args.mocap),
            "train",
            trained.decoder,
            pictures.errors(),
            augmentation=AugmentationConfig(),
        )
        recipe = HundRecipe(
            regime=regime,
            network=hund.config,
            picture_share=0.3,
            unlabeled_share=args.unlabeled_share,
            steps=args.steps,
            batch=args.batch,
            rate=args.rate,
            every=args.steps,
        )
        recipe = replace(recipe, supervision=replace(recipe.supervision, evidence=0.35))
        labelled = MixedDataset(motion, pictures, recipe.picture_share)
        train(trained, prior, labelled, ClipWindows(benchmark.train_clips), {}, recipe)
        rows.append(benchmark.row(regime.replace("_", "-"), trained.eval()))
        print(rows[-1], flush=True)
    text = HEAD.format(
        environment=measuring.environment(PACKAGES, args.cores),
        args=args,
        learned=sum(len(track.inputs) for track in benchmark.train_clips),
        judged=sum(len(track.inputs) for track in benchmark.other_clips),
    )
    if args.save:
        print(measuring.save("hund-regimes", text + "\n".join(rows) + "\n"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument(
        "detections", type=Path, help="folder that training/hund/detections.py fills"
    )
    parser.add_argument("--learn", type=Path, nargs="+", required=True, metavar="CLIP")
    parser.add_argument("--judge", type=Path, nargs="+", required=True, metavar="CLIP")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--unlabeled-share", type=float, default=HundRecipe.unlabeled_share)
    parser.add_argument("--regimes", nargs="+", choices=REGIMES, default=REGIMES)
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


if __name__ == "__main__":
    main()
