"""What the descent learns from real people of whom nothing is known: the three regimes side by side.

Run as `python -m benchmarks.hund_regimes MOCAP DETECTIONS --learn CLIP … --judge CLIP …`. Every regime
begins with the weights that ship and takes as many steps. Clips are judged by what was seen of
them: how far keypoints are missed, and how often the part map shows something else where a limb is.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks import measuring
from hund_backend.body.model import BodyModel
from hund_backend.descent.learned.hund import TERMS, WEIGHTS_FILE, Hund
from hund_backend.descent.learned.inputs import NetworkInputs
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.training.hund.detections import Detections
from hund_backend.training.hund.metrics import stage_scores
from hund_backend.training.hund.samples import MotionPeople, PicturedPeople, Sample
from hund_backend.training.hund.train_hund import (
    HundRecipe,
    MixedPeople,
    UnlabelledPeople,
    train,
    validation_people,
    watched,
)
from hund_backend.training.motion.motion_set import motion_set
from hund_backend.training.priors.augmentation import AugmentationConfig

PACKAGES = ("torch", "numpy")
REGIMES = ("supervised", "self_supervised", "mixed")
SURE = 0.5  # confidence from which a keypoint counts
HEAD = """# What the learned descent learns from unlabelled people

{environment}
* `python -m benchmarks.hund_regimes MOCAP DETECTIONS --learn … --judge … --steps {args.steps} --batch {args.batch}`
* {learned} frames to learn from, {judged} of other clips to judge by; keypoints missed by s_M, % of the
  crop's width; share of limbs' middles where the part map shows something else; synthetic
  validation people, MPJPE / PA-MPJPE in mm

| | other clips: L | keypoints | parts | clips learned from: L | synthetic motion | synthetic pictures |
| --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What networks are scored by."""

    learned: NetworkInputs
    judged: NetworkInputs
    synthetic: dict[str, Sample]

    @torch.no_grad()
    def row(self, name: str, hund: Hund) -> str:
        """The line of a network."""
        other, own = hund(self.judged)[-1], hund(self.learned)[-1]
        points = other.posed.points
        rays = points[..., :2] / points[..., 2:].clamp(min=NEAR)
        missed = (rays / self.judged.crop_width[:, None, None] - self.judged.keypoints).norm(
            dim=-1
        )
        missed = 100 * missed[self.judged.confidence > SURE].mean()
        astray = other.losses.terms[:, TERMS.index("parts")].mean()
        cells = [f"{other.losses.total.mean():.3f}", f"{missed:.2f}", f"{100 * astray:.1f} %"]
        cells.append(f"{own.losses.total.mean():.3f}")
        for sample in self.synthetic.values():
            last = stage_scores(hund(sample.seen), sample.truth)[-1].means()
            cells.append(f"{last['mpjpe_mm']:.1f} / {last['pa_mpjpe_mm']:.1f}")
        return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Train in each regime from the same weights, and print the table."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(args.cores)
    body, prior = BodyModel.load("keypoints"), PoseFlow.load()
    hund = Hund.load(body, prior, args.weights)
    bones = hund.decoder.bones
    judge = Judge(
        learned=watched(args.learn, bones),
        judged=watched(args.judge, bones),
        synthetic=validation_people(motion_set(args.mocap), args.detections, hund),
    )
    rows = [judge.row("before", hund)]
    print(rows[-1], flush=True)
    for regime in args.regimes:
        pupil = Hund.load(body, prior, args.weights).train().requires_grad_(True)
        pictures = PicturedPeople(Detections.read(args.detections, "train"), pupil.decoder)
        motion = MotionPeople(
            motion_set(args.mocap),
            "train",
            pupil.decoder,
            pictures.errors(),
            augmentation=AugmentationConfig(),
        )
        recipe = HundRecipe(
            regime=regime,
            network=hund.config,
            pictured=0.3,
            unlabelled=args.unlabelled,
            steps=args.steps,
            batch=args.batch,
            rate=args.rate,
            every=args.steps,
        )
        recipe = replace(recipe, supervision=replace(recipe.supervision, evidence=0.35))
        labelled = MixedPeople(motion, pictures, recipe.pictured)
        train(pupil, prior, labelled, UnlabelledPeople(judge.learned), {}, recipe)
        rows.append(judge.row(regime.replace("_", "-"), pupil.eval()))
        print(rows[-1], flush=True)
    text = HEAD.format(
        environment=measuring.environment(PACKAGES, args.cores),
        args=args,
        learned=len(judge.learned),
        judged=len(judge.judged),
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
    parser.add_argument("--unlabelled", type=float, default=HundRecipe.unlabelled)
    parser.add_argument("--regimes", nargs="+", choices=REGIMES, default=REGIMES)
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


if __name__ == "__main__":
    main()
