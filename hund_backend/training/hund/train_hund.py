"""Recipe of HUND: `python -m hund_backend.training.hund.train_hund MOCAP DETECTIONS`.

Three regimes: supervised (captured motion before random cameras and made pictures, both with their
truth), self-supervised (clips of real people, of which nothing but keypoints and parts is known) and
mixed (both by turns).
"""

import argparse
import json
import logging
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from torch import nn

from hund_backend.body.camera import default_intrinsics
from hund_backend.body.model import BodyModel
from hund_backend.descent.learned.hund import WEIGHTS_FILE, Hund, HundConfig
from hund_backend.descent.learned.inputs import NetworkInputs, concatenate
from hund_backend.descent.learned.meta_loss import FORMS, Form, meta_loss
from hund_backend.errors import BadInputError
from hund_backend.perception.run import Perception
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.video import open_clip

from ..checkpoint import load_checkpoint, save_checkpoint
from ..motion.motion_set import MotionSet, motion_set
from ..priors.augmentation import AugmentationConfig
from ..schedule import rate_factor
from ..weights import write_weights
from .detections import Detections
from .metrics import stage_metrics
from .samples import MotionDataset, PictureDataset, Sample, concatenate_truths
from .supervision import (
    SupervisionConfig,
    evidence_cost,
    rendered_cost,
    supervised_cost,
)

logger = logging.getLogger(__name__)
Regime = Literal["supervised", "self_supervised", "mixed"]
Curve = list[dict[str, object]]


@dataclass(frozen=True, kw_only=True)
class HundRecipe:
    """How HUND is trained."""

    regime: Regime = "supervised"
    network: HundConfig = field(default_factory=HundConfig)
    supervision: SupervisionConfig = field(default_factory=SupervisionConfig)
    form: Form = "sum"
    start: float = 0.2  # weight of L^0
    warmth: float = 0.3  # of the sum beside the improvement
    progress: float = 0.3
    rendering: float = 0.0  # weight of the last state's rendered parts
    stages: tuple[int, int] = (3, 6)  # fewest and most in training, drawn for each batch
    pictured: float = 0.3  # share of people who come from pictures
    unlabelled: float = 0.25  # probability of a batch without truth, in the mixed regime
    steps: int = 4000
    batch: int = 192
    rate: float = 8e-4
    decay: float = 1e-3
    clip: float = 1.0  # of the gradient's norm
    every: int = 250  # steps from one look at the validation people to the next
    seed: int = 0


@runtime_checkable
class People(Protocol):
    """People to learn from, without end."""

    def draw(self, count: int, generator: torch.Generator) -> Sample:
        """So many."""


class UnlabeledDataset:
    """Frames of real people, of whom nothing is known but what the detector says."""

    def __init__(self, inputs: NetworkInputs) -> None:
        self.inputs = inputs

    def draw(self, count: int, generator: torch.Generator) -> Sample:
        """So many frames, by chance."""
        chosen = torch.randint(len(self.inputs), (count,), generator=generator)
        return Sample(self.inputs.select(chosen), None)


class MixedDataset:
    """People of motion and of pictures together."""

    def __init__(self, motion: People, pictures: People, share: float) -> None:
        self.motion, self.pictures, self.share = motion, pictures, share

    def draw(self, count: int, generator: torch.Generator) -> Sample:
        """So many, a share of them from pictures."""
        pictured = round(self.share * count)
        samples = [self.motion.draw(count - pictured, generator)]
        if pictured:
            samples.append(self.pictures.draw(pictured, generator))
        inputs = concatenate([sample.inputs for sample in samples])
        return Sample(inputs, concatenate_truths([sample.truth for sample in samples]))


def train(
    hund: Hund,
    prior: PoseFlow,
    labelled: People | None,
    unlabelled: People | None,
    validation: dict[str, Sample],
    recipe: HundRecipe,
    checkpoint: Path | None = None,
) -> Curve:
    """Train a network in place.

    Args:
        hund: to be trained, on its device.
        prior: that it moves poses through.
        labelled: people with their truth; none in the self-supervised regime.
        unlabelled: people without; none in the supervised regime.
        validation: people with their truth, by name.
        recipe: how.
        checkpoint: file to go on from, if it is there, and to write at every look.

    Returns:
        the curve: step, mean training loss, and each validation's scores by stage.
    """
    device = hund.mean_state.device
    skin = BodyModel.load("low").to(device) if recipe.rendering > 0 else None
    generator = torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.AdamW(hund.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    progress: dict = {"step": 0, "curve": []}
    if checkpoint is not None and checkpoint.exists():
        progress = load_checkpoint(checkpoint, hund, optimizer, generator)
    total = torch.zeros((), dtype=torch.float64)
    while progress["step"] < recipe.steps:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * rate_factor(progress["step"] / recipe.steps)
        people = _chosen(labelled, unlabelled, recipe, generator)
        sample = on_device(people.draw(recipe.batch, generator), device)
        low, high = recipe.stages
        stages = int(torch.randint(low, high + 1, (), generator=generator))
        loss = batch_loss(hund, prior, sample, recipe, stages, skin)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(hund.parameters(), recipe.clip)
        optimizer.step()
        total += loss.detach().double().cpu()
        progress["step"] += 1
        if progress["step"] % recipe.every:
            continue
        point = {"step": progress["step"], "train": float(total) / recipe.every}
        point |= {name: evaluate_stages(hund, on_device(s, device)) for name, s in validation.items()}
        progress["curve"].append(point)
        logger.info("%6d  train %.4f  %s", point["step"], point["train"], _told(point))
        total = torch.zeros_like(total)
        if checkpoint is not None:
            save_checkpoint(checkpoint, hund, optimizer, generator, progress)
    return progress["curve"]


def batch_loss(
    hund: Hund,
    prior: PoseFlow,
    sample: Sample,
    recipe: HundRecipe,
    stages: int,
    skin: BodyModel | None = None,
) -> torch.Tensor:
    """The learning loss of some people; the skin is what parts are rendered from, if they are."""
    steps = hund(sample.inputs, stages)
    if sample.truth is None:
        losses = [evidence_cost(step) for step in steps]
    else:
        truth = sample.truth
        with torch.no_grad():
            target = hund.decoder.state_vector(
                truth.posed, truth.betas, sample.inputs.crop_width, prior
            )
        losses = [supervised_cost(step, sample, target, recipe.supervision) for step in steps]
    if skin is not None:
        rendered = rendered_cost(steps[-1], sample.inputs, hund.decoder, skin)
        losses[-1] = losses[-1] + recipe.rendering * rendered
    return meta_loss(
        torch.stack(losses),
        recipe.form,
        initial=recipe.start,
        warmup=recipe.warmth,
        progress=recipe.progress,
    )


@torch.no_grad()
def evaluate_stages(hund: Hund, sample: Sample, stages: int | None = None) -> list[dict[str, float]]:
    """Mean scores of s_0 … s_M."""
    return [scores.means() for scores in stage_metrics(hund(sample.inputs, stages), sample.truth)]


def on_device(sample: Sample, device: torch.device) -> Sample:
    """A sample on the network's device."""
    if device.type == "cpu":
        return sample
    truth = sample.truth
    if truth is not None:
        posed = type(truth.posed)(*(values.to(device) for values in truth.posed))
        truth = truth._replace(posed=posed, betas=truth.betas.to(device))
    return Sample(sample.inputs.to(device), truth)


def _chosen(
    labelled: People | None,
    unlabelled: People | None,
    recipe: HundRecipe,
    generator: torch.Generator,
) -> People:
    """Whose turn it is."""
    if recipe.regime == "supervised":
        return labelled
    if recipe.regime == "self_supervised":
        return unlabelled
    turn = float(torch.rand((), generator=generator))
    return unlabelled if turn < recipe.unlabelled else labelled


def _told(point: dict[str, object]) -> str:
    """PA-MPJPE and loss of the stages."""
    words = []
    for name in point.keys() - {"step", "train"}:
        stages = point[name]
        errors = " ".join(f"{stage['pa_mpjpe_mm']:.0f}" for stage in stages)
        losses = " ".join(f"{stage['loss']:.2f}" for stage in stages)
        words.append(f"{name}: PA {errors} mm, L {losses}")
    return "  ".join(sorted(words))


def _condensed(point: dict[str, object]) -> dict[str, object]:
    """What the weights' description keeps of a point of the curve: lists over the stages."""
    kept = {"step": point["step"], "train": round(point["train"], 4)}
    for name in sorted(point.keys() - kept.keys()):
        stages = point[name]
        kept[name] = {key: [round(s[key], 2) for s in stages] for key in ("pa_mpjpe_mm", "loss")}
    return kept


def clip_inputs(clips: list[Path], bones: float) -> NetworkInputs:
    """The evidence of all people in some clips, body parts with it.

    Raises:
        BadInputError: a clip cannot be read, or none shows anybody.
    """
    perception, inputs = Perception.open("cpu"), []
    for path in clips:
        with open_clip(path) as clip:
            intrinsics = default_intrinsics(clip.info.width, clip.info.height)
            for evidence in perception.run(clip, intrinsics, fps=clip.info.fps, parts=True):
                frames = np.repeat(intrinsics[None], len(evidence.frames), axis=0)
                people = NetworkInputs.from_evidence(evidence, frames, bones)
                inputs.append(people.select(torch.from_numpy(evidence.observed).nonzero()[:, 0]))
    if not inputs:
        raise BadInputError("The clips to learn from show nobody: name clips of people.")
    return concatenate(inputs)


def main() -> None:
    """Train HUND and write it into the weights."""
    chosen = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    network = HundConfig()
    if chosen.network:
        network = replace(network, **json.loads(chosen.network))
    recipe = HundRecipe(
        regime=chosen.regime,
        network=network,
        form=chosen.form,
        steps=chosen.steps,
        batch=chosen.batch,
        rate=chosen.rate,
        seed=chosen.seed,
        pictured=chosen.pictured,
        unlabelled=chosen.unlabelled,
        rendering=chosen.rendering,
        supervision=SupervisionConfig(evidence=chosen.evidence),
    )
    if chosen.stages:
        recipe = replace(recipe, stages=tuple(chosen.stages))
    logger.info("%s", recipe)
    prior, body = PoseFlow.load(), BodyModel.load("keypoints")
    torch.manual_seed(recipe.seed)
    hund = Hund(network, body, prior)
    if chosen.weights is not None:
        hund.load_state_dict(Hund.load(body, prior, chosen.weights).state_dict())
    decoder, poses = hund.decoder, motion_set(chosen.mocap)
    pictures = PictureDataset(Detections.read(chosen.detections, "train"), decoder)
    errors = pictures.errors()
    motion = MotionDataset(poses, "train", decoder, errors, augmentation=AugmentationConfig())
    labelled = MixedDataset(motion, pictures, recipe.pictured)
    clips = UnlabeledDataset(clip_inputs(chosen.clips, decoder.bones)) if chosen.clips else None
    if clips is None and recipe.regime != "supervised":
        raise BadInputError("This regime learns from real clips: name some with --clips.")
    validation = validation_samples(poses, chosen.detections, hund)
    hund, prior = hund.to(chosen.device), prior.to(chosen.device)
    curve = train(hund, prior, labelled, clips, validation, recipe, chosen.checkpoint)
    told = {"recipe": asdict(recipe), "curve": [_condensed(point) for point in curve]}
    description = hund.description(prior.cpu()) | told
    write_weights(chosen.output, hund.state_dict(), description, torch.float16)


def validation_samples(
    poses: MotionSet, detections: Path, hund: Hund, count: int = 500
) -> dict[str, Sample]:
    """People whom training does not see: of motion with lent errors, and of pictures."""
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
    parser.add_argument("--network", help="JSON of what differs from HundConfig")
    parser.add_argument("--form", choices=FORMS, default=HundRecipe.form)
    parser.add_argument("--stages", type=int, nargs=2, help="fewest and most in training")
    parser.add_argument("--steps", type=int, default=HundRecipe.steps)
    parser.add_argument("--batch", type=int, default=HundRecipe.batch)
    parser.add_argument("--rate", type=float, default=HundRecipe.rate)
    parser.add_argument("--pictured", type=float, default=HundRecipe.pictured)
    parser.add_argument("--evidence", type=float, default=SupervisionConfig.evidence)
    parser.add_argument("--rendering", type=float, default=HundRecipe.rendering)
    parser.add_argument("--unlabelled", type=float, default=HundRecipe.unlabelled)
    parser.add_argument("--seed", type=int, default=HundRecipe.seed)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--weights", type=Path, help="to start from")
    parser.add_argument("--checkpoint", type=Path, help="goes on from this file if it is there")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)
    return parser.parse_args()


if __name__ == "__main__":
    main()
