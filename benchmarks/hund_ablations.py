"""Ablations of the learned descent: variants trained and scored alike.

Run as `python -m benchmarks.hund_ablations MOCAP_FOLDER DETECTIONS --steps 400`. Every variant is
trained on the same people in the same order. Rows are written to the --lines file one by one;
variants that have a row are not trained again, so an interrupted run continues.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks import measuring
from hund_backend.atomic_write import write_file
from hund_backend.body.model import BodyModel
from hund_backend.descent.learned.hund import Hund, HundConfig, LossConfig
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.training.hund.detections import Detections
from hund_backend.training.hund.metrics import stage_metrics
from hund_backend.training.hund.samples import MotionDataset, PictureDataset, Sample
from hund_backend.training.hund.train_hund import (
    HundRecipe,
    MixedDataset,
    train,
    validation_samples,
)
from hund_backend.training.motion.motion_set import motion_set
from hund_backend.training.priors.augmentation import AugmentationConfig

PACKAGES = ("torch", "numpy")
NETWORK, NO_STAGES = HundConfig(), (0, 0)
VARIANTS: dict[str, HundRecipe] = {
    "ours": HundRecipe(),
    "no recurrence (s_0 only)": HundRecipe(stages=NO_STAGES, network=replace(NETWORK, stages=0)),
    "loss values only (the paper)": HundRecipe(network=replace(NETWORK, uses_residuals=False)),
    "no loss values or residuals": HundRecipe(
        network=replace(NETWORK, uses_losses=False, uses_residuals=False)
    ),
    "no memory": HundRecipe(network=replace(NETWORK, uses_memory=False)),
    "M = 1": HundRecipe(stages=(1, 1), network=replace(NETWORK, stages=1)),
    "M = 3": HundRecipe(stages=(3, 3), network=replace(NETWORK, stages=3)),
    "M = 5": HundRecipe(stages=(5, 5), network=replace(NETWORK, stages=5)),
    "M = 8": HundRecipe(stages=(8, 8), network=replace(NETWORK, stages=8)),
    "meta-loss: last": HundRecipe(form="last"),
    "meta-loss: min": HundRecipe(form="min"),
    "meta-loss: improvement": HundRecipe(form="improvement"),
    "without progress": HundRecipe(progress=0.0),
    "6D instead of the flow": HundRecipe(network=replace(NETWORK, uses_flow=False)),
    "without parts": HundRecipe(network=replace(NETWORK, uses_parts=False)),
    "without features": HundRecipe(network=replace(NETWORK, uses_features=False)),
    "without landmarks": HundRecipe(
        network=replace(NETWORK, uses_landmarks=False, loss=LossConfig(landmarks=0.0))
    ),
    "without synthetic pictures": HundRecipe(picture_share=0.0),
}
HEAD = """# Ablations of the learned descent

{environment}
* `python -m benchmarks.hund_ablations MOCAP_FOLDER DETECTIONS --steps {args.steps} \
--batch {args.batch}`
* validation people after a short training: PA-MPJPE in mm of s_0 and s_M (MPJPE of s_M), L of s_M;
  one seed, so differences of 1 or 2 mm mean nothing

| variant | motion: s_0 | s_M | L | pictures: s_0 | s_M | L | lower % |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Data that all variants are trained on."""

    body: BodyModel
    prior: PoseFlow
    mocap: Path
    detections: Path

    def row(self, name: str, recipe: HundRecipe) -> str:
        """Train a variant and return its row."""
        torch.manual_seed(recipe.seed)
        hund = Hund(recipe.network, self.body, self.prior)
        poses = motion_set(self.mocap)
        detections = Detections.read(self.detections, "train")
        pictures = PictureDataset(detections, hund.decoder)
        motion = MotionDataset(
            poses,
            "train",
            hund.decoder,
            pictures.errors(),
            augmentation=AugmentationConfig(),
        )
        dataset = MixedDataset(motion, pictures, recipe.picture_share)
        train(hund, self.prior, dataset, None, {}, recipe)
        validation = validation_samples(poses, self.detections, hund)
        cells = [cell for sample in validation.values() for cell in score_cells(hund, sample)]
        return f"| {name} | {' | '.join([*cells, f'{_lower_share(hund, validation):.0f}'])} |"


@torch.no_grad()
def score_cells(hund: Hund, sample: Sample) -> list[str]:
    """Return PA-MPJPE of s_0; PA-MPJPE and MPJPE of s_M; L of s_M."""
    stages = [scores.means() for scores in stage_metrics(hund(sample.inputs), sample.truth)]
    first, last = stages[0], stages[-1]
    s_m = f"{last['pa_mpjpe_mm']:.1f} ({last['mpjpe_mm']:.0f})"
    return [f"{first['pa_mpjpe_mm']:.1f}", s_m, f"{last['loss']:.2f}"]


@torch.no_grad()
def _lower_share(hund: Hund, validation: dict[str, Sample]) -> float:
    """Return the share of people whose L at s_M is below that at s_0, per cent."""
    steps = [hund(sample.inputs) for sample in validation.values()]
    lower = [states[-1].losses.total < states[0].losses.total for states in steps]
    return 100 * float(torch.cat(lower).float().mean())


def main() -> None:
    """Train the variants one after the other, and print the table."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(args.cores)
    data = TrainingData(
        body=BodyModel.load("keypoints"),
        prior=PoseFlow.load(),
        mocap=args.mocap,
        detections=args.detections,
    )
    rows = args.lines.read_text().splitlines() if args.lines.exists() else []
    for name in args.variants or VARIANTS:
        if any(line.startswith(f"| {name} |") for line in rows):
            continue
        recipe = replace(VARIANTS[name], steps=args.steps, batch=args.batch)
        rows.append(data.row(name, replace(recipe, every=args.steps)))
        print(rows[-1], flush=True)
        write_file(args.lines, ("\n".join(rows) + "\n").encode())
    environment = measuring.environment(PACKAGES, args.cores)
    text = HEAD.format(environment=environment, args=args) + "\n".join(rows) + "\n"
    if args.save:
        print(measuring.save("hund-ablations", text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument(
        "detections", type=Path, help="folder that training/hund/detections.py fills"
    )
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, metavar="VARIANT")
    parser.add_argument(
        "--lines", type=Path, required=True, help="file of the rows; continued if it exists"
    )
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


if __name__ == "__main__":
    main()
