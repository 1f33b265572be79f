"""Recipe of HUND: `python -m hund_backend.training.hund.train_hund MOCAP DETECTIONS`.

Three regimes: supervised (captured motion before random cameras and synthetic pictures, both with
their truth), self-supervised (clips of real people, by their own consistency) and mixed (batches of
either).

On several processors or GPUs of a machine, by torch's own launcher: `torchrun --nproc-per-node 2 -m
hund_backend.training.hund.train_hund MOCAP DETECTIONS`, with `--device cuda` one GPU a process.
"""

import argparse
import json
import logging
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from ...body.camera import default_intrinsics
from ...body.model import BodyModel
from ...descent.learned.hund import WEIGHTS_FILE, Hund, HundConfig
from ...descent.learned.inputs import concatenate
from ...descent.learned.meta_loss import FORMS
from ...errors import BadInputError
from ...perception.run import Perception
from ...prior.pose_flow import PoseFlow
from ...video import open_clip
from ..descent_training import DescentRecipe
from ..motion.motion_set import MotionSet, motion_set
from ..optimization import Curve, optimize
from ..priors.augmentation import AugmentationConfig
from ..processes import Processes, processes_of
from ..weights import write_weights
from .clip_consistency import (
    CLIP_FPS,
    ClipTrack,
    ClipWindows,
    ConsistencyConfig,
    WindowBatch,
    consistency_cost,
)
from .detections import Detections
from .metrics import stage_metrics
from .samples import MotionDataset, PictureDataset, Sample, concatenate_truths
from .supervision import SupervisionConfig, rendered_cost, supervised_cost

logger = logging.getLogger(__name__)
Regime = Literal["supervised", "self_supervised", "mixed"]


@dataclass(frozen=True, kw_only=True)
class HundRecipe(DescentRecipe):
    """Training of HUND."""

    regime: Regime = "supervised"
    network: HundConfig = field(default_factory=HundConfig)
    supervision: SupervisionConfig = field(default_factory=SupervisionConfig)
    consistency: ConsistencyConfig = field(default_factory=ConsistencyConfig)
    initial: float = 0.2
    warmup: float = 0.3
    rendering: float = 0.0  # weight of the last state's rendered parts
    stages: tuple[int, int] = (3, 6)
    picture_share: float = 0.3  # of people who come from pictures
    unlabeled_share: float = 0.25  # probability of a batch without truth, in the mixed regime
    steps: int = 4000
    batch: int = 192
    rate: float = 8e-4
    every: int = 250


@runtime_checkable
class Dataset(Protocol):
    """Source of training samples."""

    def draw(self, count: int, generator: torch.Generator) -> Sample:
        """Draw samples."""


class MixedDataset:
    """Samples of motion and of pictures."""

    def __init__(self, motion: Dataset, pictures: Dataset, picture_share: float) -> None:
        self.motion, self.pictures, self.picture_share = motion, pictures, picture_share

    def draw(self, count: int, generator: torch.Generator) -> Sample:
        """Draw samples, a fixed share of them from pictures."""
        num_pictures = round(self.picture_share * count)
        samples = [self.motion.draw(count - num_pictures, generator)]
        if num_pictures:
            samples.append(self.pictures.draw(num_pictures, generator))
        inputs = concatenate([sample.inputs for sample in samples])
        return Sample(inputs, concatenate_truths([sample.truth for sample in samples]))


def train(
    hund: Hund,
    prior: PoseFlow,
    labeled: Dataset | None,
    unlabeled: ClipWindows | None,
    validation: dict[str, Sample],
    recipe: HundRecipe,
    checkpoint: Path | None = None,
    processes: Processes | None = None,
) -> Curve:
    """Train a network in place.

    Args:
        hund: to be trained, on its device.
        prior: its pose prior.
        labeled: samples with their truth; None in the self-supervised regime.
        unlabeled: people of real clips; None in the supervised regime.
        validation: samples with their truth, by name.
        recipe: settings.
        checkpoint: file to resume from if it exists, written at every evaluation.
        processes: that share the training, each a part of every batch.

    Returns:
        The curve: step, mean training loss, and each validation's metrics by stage.
    """
    device = hund.mean_state.device
    skin = BodyModel.load("low").to(device) if recipe.rendering > 0 else None
    generator = torch.Generator().manual_seed(recipe.seed)
    processes = processes or Processes()

    def step_loss() -> tuple[Float[Tensor, ""], float]:
        if _is_unlabeled(recipe, generator):
            windows = unlabeled.draw(generator)
            count = len(windows.fps)
            windows = windows.select(processes.rows(count)).to(device)
            stages = recipe.draw_stages(generator)
            loss = consistency_loss(hund, windows, recipe, stages, skin)
        else:
            batch = labeled.draw(recipe.batch, generator)
            count = len(batch.inputs)
            sample = to_device(batch.select(processes.rows(count)), device)
            stages = recipe.draw_stages(generator)
            loss = batch_loss(hund, prior, sample, recipe, stages, skin)
        loss = processes.weigh(loss, count)
        return loss, loss.item()

    def evaluate(step: int, train: float) -> tuple[dict[str, Any], float]:
        point = {"step": step, "train": train}
        point |= {
            name: evaluate_stages(hund, to_device(s, device)) for name, s in validation.items()
        }
        logger.info("%6d  train %.4f  %s", step, train, _format_stages(point))
        return point, 0.0

    return optimize(hund, step_loss, evaluate, recipe, generator, checkpoint, processes=processes)


def batch_loss(
    hund: Hund,
    prior: PoseFlow,
    sample: Sample,
    recipe: HundRecipe,
    stages: int,
    skin: BodyModel | None = None,
) -> Float[Tensor, ""]:
    """Meta loss of some samples.

    Args:
        hund: the network.
        prior: its pose prior.
        sample: the samples.
        recipe: weights.
        stages: M.
        skin: mesh from which parts are rendered, if the recipe asks for it.
    """
    steps, truth = hund(sample.inputs, stages), sample.truth
    with torch.no_grad():
        target = hund.decoder.state_vector(
            truth.posed, truth.betas, sample.inputs.crop_width, prior
        )
    losses = [supervised_cost(step, sample, target, recipe.supervision) for step in steps]
    if skin is not None:
        rendered = rendered_cost(steps[-1], sample.inputs, hund.decoder, skin)
        losses[-1] = losses[-1] + recipe.rendering * rendered
    return recipe.loss(losses)


def consistency_loss(
    hund: Hund,
    windows: WindowBatch,
    recipe: HundRecipe,
    stages: int,
    skin: BodyModel | None = None,
) -> Float[Tensor, ""]:
    """Meta loss of people of clips; arguments as of `batch_loss`."""
    steps = hund(windows.inputs, stages)
    costs = [consistency_cost(step, windows, recipe.consistency) for step in steps]
    if skin is not None:
        rendered = rendered_cost(steps[-1], windows.inputs, hund.decoder, skin)
        rendered = rendered.unflatten(0, (len(windows.fps), -1)).mean(1)
        costs[-1] = costs[-1] + recipe.rendering * rendered
    return recipe.loss(costs)


@torch.no_grad()
def evaluate_stages(
    hund: Hund, sample: Sample, stages: int | None = None
) -> list[dict[str, float]]:
    """Mean metrics of s_0 … s_M."""
    steps = hund(sample.inputs, stages)
    return [metrics.means() for metrics in stage_metrics(steps, sample.truth)]


def to_device(sample: Sample, device: torch.device) -> Sample:
    """The sample on another device."""
    if device.type == "cpu":
        return sample
    truth = sample.truth
    posed = type(truth.posed)(*(values.to(device) for values in truth.posed))
    truth = truth._replace(posed=posed, betas=truth.betas.to(device))
    return Sample(sample.inputs.to(device), truth)


def _is_unlabeled(recipe: HundRecipe, generator: torch.Generator) -> bool:
    """Choose whether a batch is of clips."""
    if recipe.regime != "mixed":
        return recipe.regime == "self_supervised"
    return float(torch.rand((), generator=generator)) < recipe.unlabeled_share


def _format_stages(point: dict[str, Any]) -> str:
    """PA-MPJPE and loss of the stages, as text."""
    texts = []
    for name in point.keys() - {"step", "train"}:
        stages = point[name]
        errors = " ".join(f"{stage['pa_mpjpe_mm']:.0f}" for stage in stages)
        losses = " ".join(f"{stage['loss']:.2f}" for stage in stages)
        texts.append(f"{name}: PA {errors} mm, L {losses}")
    return "  ".join(sorted(texts))


def condense(point: dict[str, Any]) -> dict[str, Any]:
    """Point of the curve as the weights' description has it: lists over the stages."""
    condensed = {"step": point["step"], "train": round(point["train"], 4)}
    for name in sorted(point.keys() - condensed.keys()):
        stages = point[name]
        condensed[name] = {
            key: [round(stage[key], 2) for stage in stages] for key in ("pa_mpjpe_mm", "loss")
        }
    return condensed


def clip_tracks(clips: list[Path], bones: float) -> list[ClipTrack]:
    """All people in some clips, with part maps, at about CLIP_FPS frames a second.

    Args:
        clips: videos.
        bones: total bone length of the mean body, metres.

    Raises:
        BadInputError: a clip cannot be read, or none shows a person.
    """
    perception, tracks = Perception.open("cpu"), []
    for path in clips:
        with open_clip(path) as clip:
            intrinsics = default_intrinsics(clip.info.width, clip.info.height)
            step = max(1, round(clip.info.fps / CLIP_FPS))
            frames, fps = islice(clip, 0, None, step), clip.info.fps / step
            for evidence in perception.run(frames, intrinsics, fps=fps, parts=True):
                tracks += ClipTrack.of_shots(evidence, bones, fps)
    if not tracks:
        raise BadInputError("No person was found in the training clips: name clips of people.")
    return tracks


def main() -> None:
    """Train HUND and write its weights."""
    arguments = _arguments()
    with processes_of(arguments.device) as (processes, device):
        level = logging.INFO if processes.is_first else logging.WARNING
        logging.basicConfig(level=level, format="%(asctime)s %(message)s")
        _train(arguments, processes, device)


def _train(arguments: argparse.Namespace, processes: Processes, device: str) -> None:
    """Train by the command's arguments; the first process writes the weights."""
    network = HundConfig()
    if arguments.network:
        network = replace(network, **json.loads(arguments.network))
    recipe = HundRecipe(
        regime=arguments.regime,
        network=network,
        form=arguments.form,
        steps=arguments.steps,
        batch=arguments.batch,
        rate=arguments.rate,
        seed=arguments.seed,
        picture_share=arguments.picture_share,
        unlabeled_share=arguments.unlabeled_share,
        rendering=arguments.rendering,
        supervision=SupervisionConfig(evidence=arguments.evidence),
    )
    if arguments.stages:
        recipe = replace(recipe, stages=tuple(arguments.stages))
    logger.info("%s", recipe)
    prior, body = PoseFlow.load(), BodyModel.load("keypoints")
    torch.manual_seed(recipe.seed)
    hund = Hund(network, body, prior)
    if arguments.weights is not None:
        # Of a prior that was trained further, the weights are a good start, too.
        hund.load_state_dict(load_file(arguments.weights), strict=True)
    decoder, poses = hund.decoder, motion_set(arguments.mocap)
    pictures = PictureDataset(Detections.read(arguments.detections, "train"), decoder)
    errors = pictures.errors()
    motion = MotionDataset(poses, "train", decoder, errors, augmentation=AugmentationConfig())
    labeled = MixedDataset(motion, pictures, recipe.picture_share)
    unlabeled = None
    if arguments.clips:
        unlabeled = ClipWindows(clip_tracks(arguments.clips, decoder.bones), recipe.consistency)
    elif recipe.regime != "supervised":
        raise BadInputError("This regime trains on real clips: name some with --clips.")
    validation = validation_samples(poses, arguments.detections, hund)
    hund, prior = hund.to(device), prior.to(device)
    curve = train(
        hund, prior, labeled, unlabeled, validation, recipe, arguments.checkpoint, processes
    )
    if not processes.is_first:
        return
    training = {"recipe": asdict(recipe), "curve": [condense(point) for point in curve]}
    description = hund.description(prior.cpu()) | training
    write_weights(arguments.output, hund.state_dict(), description, torch.float16)


def validation_samples(
    poses: MotionSet, detections: Path, hund: Hund, count: int = 500
) -> dict[str, Sample]:
    """Samples of the validation splits: motion with transferred errors, and pictures."""
    pictures = PictureDataset(
        Detections.read(detections, "validation"), hund.decoder, mirror=False
    )
    motion = MotionDataset(poses, "validation", hund.decoder, pictures.errors())
    generator = torch.Generator().manual_seed(1)
    return {
        "motion": motion.draw(count, generator),
        "pictures": pictures.select(torch.arange(len(pictures))[:count]),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("detections", type=Path, help="folder that detections.py fills")
    parser.add_argument("--regime", choices=get_args(Regime), default=HundRecipe.regime)
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="of real people")
    parser.add_argument("--network", help="JSON of changes to HundConfig")
    parser.add_argument("--form", choices=FORMS, default=HundRecipe.form)
    parser.add_argument("--stages", type=int, nargs=2, help="range of M in training")
    parser.add_argument("--steps", type=int, default=HundRecipe.steps)
    parser.add_argument("--batch", type=int, default=HundRecipe.batch)
    parser.add_argument("--rate", type=float, default=HundRecipe.rate)
    parser.add_argument("--picture-share", type=float, default=HundRecipe.picture_share)
    parser.add_argument("--evidence", type=float, default=SupervisionConfig.evidence)
    parser.add_argument("--rendering", type=float, default=HundRecipe.rendering)
    parser.add_argument("--unlabeled-share", type=float, default=HundRecipe.unlabeled_share)
    parser.add_argument("--seed", type=int, default=HundRecipe.seed)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--weights", type=Path, help="initial weights, of this prior or of one it was trained from"
    )
    parser.add_argument("--checkpoint", type=Path, help="resume from this file if it exists")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)
    return parser.parse_args()


if __name__ == "__main__":
    main()
