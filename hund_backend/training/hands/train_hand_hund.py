"""Recipe of HUND for hands: `python -m … .train_hand_hund HANDS MOCAP DETECTIONS`.

Mostly by its own losses L(s), and by the truth of synthetic hands: close-ups with what the real
detector said of them, and captured, keyed and generated poses of all shapes before random cameras
with its errors. With `--clips` also by hands of real clips without truth (`self_supervision.py`).
`torchrun --nproc-per-node 2 -m …` shares the work among processes.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ...body.hand import HandModel
from ...descent.hands.hund import WEIGHTS_FILE, HandHund, HandHundConfig
from ...descent.hands.inputs import HandInputs
from ...descent.hands.polish import HandPolishConfig
from ...descent.hands.state_decoder import HandVector
from ...descent.learned.network import Step
from ...prior.pose_flow import HAND_WEIGHTS_FILE, PoseFlow
from ..descent_training import DescentRecipe, stage_means
from ..motion.motion_set import Split
from ..optimization import Curve, optimize
from ..priors.hand_captures import HandCaptures, hand_captures
from ..priors.train_hand_flow import HandPoseSampler, HandRecipe
from ..processes import Processes, processes_of
from ..weights import write_weights
from .clip_detections import ClipHands
from .detected_samples import DetectedHands, detected_sample
from .detections import HandDetections
from .metrics import joint_error_deg, pa_mpjpe_mm
from .samples import HandDataset, HandSample
from .self_supervision import UnlabeledHands, unlabeled_cost, unlabeled_metrics

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HandSupervisionConfig:
    """Weights of the terms."""

    evidence: float = 1.0  # L(s), the loss that is an input of the stages
    points: float = 9.0  # distance of the points, wrist-aligned, metres
    rotations: float = 0.45  # mean absolute difference of the finger joints' matrices
    wrist: float = 0.3  # the same for the wrist
    projection: float = 3.0  # distance of the projected points, crop widths
    depth: float = 0.15  # absolute difference of the depth's logarithm
    latent: float = 0.0045
    max_distance: float = 0.5  # crop widths at which projected distances are clamped


@dataclass(frozen=True, kw_only=True)
class HandHundRecipe(DescentRecipe):
    """Training of a hand's descent."""

    network: HandHundConfig = field(default_factory=HandHundConfig)
    supervision: HandSupervisionConfig = field(default_factory=HandSupervisionConfig)
    stages: tuple[int, int] = (5, 7)
    steps: int = 2500
    batch: int = 160
    rate: float = 2e-3
    unlabeled: float = 0.5  # weight of hands of clips, beside the mean of those with truth
    triples: int = 16  # of hands of clips a batch
    num_validation: int = 512


@runtime_checkable
class HandSource(Protocol):
    """Source of training samples, as DetectedHands."""

    def draw(self, count: int, generator: torch.Generator) -> HandSample:
        """Draw random hands."""


def supervised_cost(
    step: Step, sample: HandSample, target: HandVector, config: HandSupervisionConfig
) -> Float[Tensor, " batch"]:
    """Cost of a state whose truth is known.

    Args:
        step: the state.
        sample: inputs and truth.
        target: state vector of the truth.
        config: weights.
    """
    posed, true = step.posed, sample.truth
    width = sample.inputs.crop_width[:, None, None]
    relative = posed.points - posed.points[:, :1] - true.points + true.points[:, :1]

    def project(points: Tensor) -> Tensor:
        return points[..., :2] / points[..., 2:].clamp(min=0.05) / width

    residual = _norm(project(posed.points) - project(true.points)).clamp(max=config.max_distance)
    rotations = (posed.rotations - true.rotations).abs().mean((-1, -2))
    depth = (posed.translation[:, 2].clamp(min=0.02).log() - true.translation[:, 2].log()).abs()
    return (
        config.evidence * step.losses.total
        + config.points * _norm(relative).mean(-1)
        + config.rotations * rotations[:, 1:].mean(-1)
        + config.wrist * rotations[:, 0]
        + config.projection * residual.mean(-1)
        + config.depth * depth
        + config.latent * (step.vector.latent - target.latent).square().mean(-1)
    )


def train(
    hund: HandHund,
    prior: PoseFlow,
    dataset: HandSource,
    validation: HandSample,
    recipe: HandHundRecipe,
    checkpoint: Path | None = None,
    processes: Processes | None = None,
    clips: tuple[UnlabeledHands, UnlabeledHands | None] | None = None,
) -> Curve:
    """Train a network in place.

    Args:
        hund: to be trained.
        prior: its hand prior.
        dataset: of samples.
        validation: samples that the curve is measured on.
        recipe: settings.
        checkpoint: file to resume from if it exists, written at every evaluation.
        processes: that share the training, each a part of every batch.
        clips: hands without truth, of training and held out (the curve is measured on them; None:
            none are); None: there are none.

    Returns:
        The curve: step, mean training loss, and metrics by stage.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    processes = processes or Processes()

    def step_loss() -> tuple[Float[Tensor, ""], float]:
        batch = dataset.draw(recipe.batch, generator)
        count = len(batch.inputs)
        sample = batch.select(processes.rows(count))
        stages = recipe.draw_stages(generator)
        loss = processes.weigh(batch_loss(hund, prior, sample, recipe, stages), count)
        if clips is not None:
            inputs, fps = clips[0].draw(recipe.triples, generator)
            rows = processes.rows(recipe.triples)
            few = inputs.select((3 * rows[:, None] + torch.arange(3)).flatten())
            polish = clips[0].config.polish
            own = unlabeled_loss(hund, few, fps[rows], polish, recipe, stages)
            loss = loss + recipe.unlabeled * processes.weigh(own, recipe.triples)
        return loss, loss.item()

    def evaluate(step: int, train: float) -> tuple[dict[str, Any], float]:
        point = {"step": step, "train": round(train, 4)} | stage_metrics(hund, validation)
        if clips is not None and clips[1] is not None:
            point |= unlabeled_metrics(hund, clips[1])
        logger.info("%s", point)
        return point, 0.0

    return optimize(hund, step_loss, evaluate, recipe, generator, checkpoint, processes=processes)


def batch_loss(
    hund: HandHund, prior: PoseFlow, sample: HandSample, recipe: HandHundRecipe, stages: int
) -> Float[Tensor, ""]:
    """Meta loss of some samples; arguments as of `train`, with the number of stages."""
    steps = hund(sample.inputs, stages)
    with torch.no_grad():
        target = hund.decoder.state_vector(sample.truth, sample.inputs, prior)
    return recipe.loss(
        [supervised_cost(step, sample, target, recipe.supervision) for step in steps]
    )


def unlabeled_loss(
    hund: HandHund,
    inputs: HandInputs,
    fps: Float[Tensor, " triples"],
    polish: HandPolishConfig,
    recipe: HandHundRecipe,
    stages: int,
) -> Float[Tensor, ""]:
    """Meta loss of triples of hands of clips; arguments as of `unlabeled_cost`."""
    steps = hund(inputs, stages)
    return recipe.loss([unlabeled_cost(hund, step, inputs, fps, polish) for step in steps])


@torch.no_grad()
def stage_metrics(hund: HandHund, sample: HandSample) -> dict[str, list[float]]:
    """Mean metrics of s_0 … s_M."""
    steps, truth = hund(sample.inputs), sample.truth
    return {
        "pa_mpjpe_mm": stage_means(steps, lambda step: pa_mpjpe_mm(step.posed, truth), 2),
        "joints_deg": stage_means(steps, lambda step: joint_error_deg(step.posed, truth), 2),
        "loss": stage_means(steps, lambda step: step.losses.total, 3),
    }


def datasets(
    captures: HandCaptures, detections: Path, hund: HandHund, recipe: HandHundRecipe
) -> tuple[DetectedHands, HandSample]:
    """Return the training set and validation samples of held-out poses, shapes and pictures.

    Args:
        captures: recorded and keyed poses.
        detections: folder of the detections of close-ups.
        hund: network, whose decoder poses the hands.
        recipe: settings.
    """

    def source(split: Split) -> DetectedHands:
        poses = HandPoseSampler(captures, HandRecipe(), held_out=split == "held_out")
        real = detected_sample(HandDetections.read(detections, split), hund.decoder)
        return DetectedHands(HandDataset(poses, hund.decoder), real)

    generator = torch.Generator().manual_seed(recipe.seed + 1)
    validation = source("held_out").draw(recipe.num_validation, generator)
    return source("train"), validation


def _norm(vectors: Float[Tensor, "batch points components"]) -> Float[Tensor, "batch points"]:
    return (vectors.square().sum(-1) + 1e-8).sqrt()


def main() -> None:
    """Train the network and write its weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("hands", type=Path, help="folder of recorded hands")
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("detections", type=Path, help="folder of the detections of close-ups")
    parser.add_argument("--captures", type=Path, help="poses taken over before, or to be kept")
    parser.add_argument("--clips", type=Path, help="folder of the detections of clips")
    parser.add_argument("--held-out-clips", nargs="*", default=[], metavar="CLIP")
    parser.add_argument("--steps", type=int, default=HandHundRecipe.steps)
    parser.add_argument("--rate", type=float, default=HandHundRecipe.rate)
    parser.add_argument(
        "--evidence",
        type=float,
        default=HandSupervisionConfig.evidence,
        help="weight of the stages' loss",
    )
    parser.add_argument("--seed", type=int, default=HandHundRecipe.seed)
    parser.add_argument("--weights", type=Path, help="initial weights")
    parser.add_argument("--checkpoint", type=Path, help="resume from this file if it exists")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)
    arguments = parser.parse_args()
    with processes_of("cpu") as (processes, _):
        level = logging.INFO if processes.is_first else logging.WARNING
        logging.basicConfig(level=level, format="%(asctime)s %(message)s")
        _train(arguments, processes)


def _train(arguments: argparse.Namespace, processes: Processes) -> None:
    """Train by the command's arguments; the first process writes the weights."""
    recipe = HandHundRecipe(
        supervision=HandSupervisionConfig(evidence=arguments.evidence),
        steps=arguments.steps,
        rate=arguments.rate,
        seed=arguments.seed,
    )
    logger.info("%s", recipe)
    model, prior = HandModel.load(), PoseFlow.load(HAND_WEIGHTS_FILE)
    captures = hand_captures(arguments.hands, arguments.mocap, model, arguments.captures)
    torch.manual_seed(recipe.seed)
    hund = HandHund(recipe.network, model, prior)
    if arguments.weights is not None:
        trained = HandHund.load(model, prior, arguments.weights)
        hund.load_state_dict(trained.state_dict())
    dataset, validation = datasets(captures, arguments.detections, hund, recipe)
    clips = None
    if arguments.clips is not None:
        clips = _clips(arguments.clips, arguments.held_out_clips, model)
    curve = train(hund, prior, dataset, validation, recipe, arguments.checkpoint, processes, clips)
    if not processes.is_first:
        return
    description = hund.description(prior) | {"recipe": asdict(recipe), "curve": curve}
    write_weights(arguments.output, hund.state_dict(), description, torch.float16)


def _clips(
    folder: Path, names: Sequence[str], model: HandModel
) -> tuple[UnlabeledHands, UnlabeledHands | None]:
    """Hands of the clips of a folder, and of those of some names, which are held out."""
    files = sorted(folder.glob("*.safetensors"))
    held_out = [file for file in files if file.stem in names]
    used = UnlabeledHands(ClipHands.read([f for f in files if f not in held_out]), model)
    return used, UnlabeledHands(ClipHands.read(held_out), model) if held_out else None


if __name__ == "__main__":
    main()
