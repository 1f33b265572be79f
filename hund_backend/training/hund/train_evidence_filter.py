"""Recipe of the evidence filter.

`python -m hund_backend.training.hund.train_evidence_filter MOCAP DETECTIONS`, then again with
`--descends --weights FIRST`.

First the filter learns to bring keypoints and landmarks to the truth (a cheap loss), then, with
HUND behind it (which does not change), to make its states right.
"""

import argparse
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from ...body.model import BodyModel
from ...descent.keypoints import keypoint_weights
from ...descent.learned.evidence_filter import (
    WEIGHTS_FILE,
    EvidenceFilter,
    EvidenceFilterConfig,
)
from ...descent.learned.hund import Hund
from ...descent.learned.inputs import NetworkInputs
from ...prior.pose_flow import PoseFlow
from ..motion.motion_set import motion_set
from ..optimization import Curve, optimize
from ..weights import write_weights
from .detections import Detections
from .detector_errors import DetectorOutput
from .metrics import stage_metrics
from .samples import PictureDataset
from .train_hund import HundRecipe, batch_loss
from .window_samples import WindowDataset, WindowSample

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FilterRecipe:
    """Training of the evidence filter."""

    network: EvidenceFilterConfig = field(default_factory=EvidenceFilterConfig)
    descends: bool = False  # whether HUND's loss counts, too
    stages: tuple[int, int] = (0, 2)  # range of M, drawn for each batch
    keypoints: float = 4.0  # distance to the truth, crop widths
    landmarks: float = 1.0  # distance to the truth, metres
    descent: float = 0.1  # HUND's loss
    steps: int = 4000
    windows: int = 12288  # true ones, drawn once; the detector's errors are always new
    batch: int = 128
    rate: float = 1e-3
    decay: float = 1e-3
    clip: float = 1.0  # largest norm of the gradient
    every: int = 250  # steps between evaluations
    seed: int = 0


def train(
    network: EvidenceFilter,
    hund: Hund,
    prior: PoseFlow,
    dataset: WindowDataset,
    validation: WindowSample,
    recipe: FilterRecipe,
    checkpoint: Path | None = None,
) -> Curve:
    """Train the filter in place.

    Args:
        network: to be trained.
        hund: that descends from what it corrects; unchanged.
        prior: HUND's.
        dataset: training windows.
        validation: windows of other people.
        recipe: settings.
        checkpoint: file to resume from if it exists, written at every evaluation.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    true = dataset.true_windows(recipe.windows, generator)
    hund_recipe = HundRecipe()

    def step_loss() -> tuple[Float[Tensor, ""], float]:
        picks = torch.randint(recipe.windows, (recipe.batch,), generator=generator)
        drawn = dataset.detected(true.select(picks), generator)
        inputs = network(drawn.sample.inputs, drawn.windows)
        loss = evidence_error(inputs, drawn.exact, recipe)
        if recipe.descends:
            low, high = recipe.stages
            stages = int(torch.randint(low, high + 1, (), generator=generator))
            sample = drawn.sample._replace(inputs=inputs)
            loss = loss + recipe.descent * batch_loss(hund, prior, sample, hund_recipe, stages)
        return loss, loss.item()

    def evaluate(step: int, value: float) -> tuple[dict[str, Any], float]:
        point = {"step": step, "train": value} | validate(network, hund, validation)
        logger.info("%s", point)
        return point, 0.0

    return optimize(network, step_loss, evaluate, recipe, generator, checkpoint)


def evidence_error(
    inputs: NetworkInputs, exact: DetectorOutput, recipe: FilterRecipe
) -> Float[Tensor, ""]:
    """Mean distance of corrected keypoints and landmarks to the truth."""
    weights = keypoint_weights().to(inputs.keypoints)
    weights = weights / weights.sum()

    def distance(values: Tensor, truth: Tensor, softening: float) -> Float[Tensor, ""]:
        squares = (values - truth).square().sum(-1)
        return (((squares + softening**2).sqrt() - softening) * weights).sum(-1).mean()

    return recipe.keypoints * distance(
        inputs.keypoints, exact.keypoints, 0.004
    ) + recipe.landmarks * distance(inputs.landmarks, exact.landmarks, 0.01)


@torch.no_grad()
def validate(network: EvidenceFilter, hund: Hund, drawn: WindowSample) -> dict[str, Any]:
    """Errors of the evidence (crop width %, mm) and of HUND's last stage (mm), with the filter."""
    inputs = network(drawn.sample.inputs, drawn.windows)
    last = stage_metrics(hund(inputs), drawn.sample.truth)[-1].means()
    keypoints = (inputs.keypoints - drawn.exact.keypoints).norm(dim=-1).mean()
    landmarks = (inputs.landmarks - drawn.exact.landmarks).norm(dim=-1).mean()
    return {
        "keypoints_percent": round(100 * float(keypoints), 3),
        "landmarks_mm": round(1000 * float(landmarks), 2),
        "mpjpe_mm": round(last["mpjpe_mm"], 2),
        "pa_mpjpe_mm": round(last["pa_mpjpe_mm"], 2),
        "depth_percent": round(last["depth_percent"], 2),
    }


def main() -> None:
    """Train the filter and write its weights."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments = _arguments()
    recipe = FilterRecipe(
        descends=arguments.descends,
        steps=arguments.steps,
        batch=arguments.batch,
        rate=arguments.rate,
        every=arguments.every,
        seed=arguments.seed,
    )
    prior, body = PoseFlow.load(), BodyModel.load("keypoints")
    hund = Hund.load(body, prior)
    torch.manual_seed(recipe.seed)
    network = EvidenceFilter(recipe.network)
    if arguments.weights is not None:
        network.load_state_dict({n: v.float() for n, v in load_file(arguments.weights).items()})
    poses = motion_set(arguments.mocap)
    pictures = {
        split: PictureDataset(
            Detections.read(arguments.detections, split), hund.decoder, mirror=split == "train"
        )
        for split in ("train", "validation")
    }
    datasets = {
        split: WindowDataset(poses, split, hund.decoder, each.errors())
        for split, each in pictures.items()
    }
    generator = torch.Generator().manual_seed(1)
    true = datasets["validation"].true_windows(500, generator)
    validation = datasets["validation"].detected(true, generator)
    logger.info("before: %s", validate(network, hund, validation))
    curve = train(
        network, hund, prior, datasets["train"], validation, recipe, arguments.checkpoint
    )
    training = {"recipe": asdict(recipe), "curve": curve}
    description = network.description() | training
    write_weights(arguments.output, network.state_dict(), description, torch.float16)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("detections", type=Path, help="folder that detections.py fills")
    parser.add_argument("--descends", action="store_true", help="count HUND's loss, too")
    parser.add_argument("--steps", type=int, default=FilterRecipe.steps)
    parser.add_argument("--batch", type=int, default=FilterRecipe.batch)
    parser.add_argument("--rate", type=float, default=FilterRecipe.rate)
    parser.add_argument("--every", type=int, default=FilterRecipe.every)
    parser.add_argument("--seed", type=int, default=FilterRecipe.seed)
    parser.add_argument("--weights", type=Path, help="initial weights")
    parser.add_argument("--checkpoint", type=Path, help="resume from this file if it exists")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)
    return parser.parse_args()


if __name__ == "__main__":
    main()
