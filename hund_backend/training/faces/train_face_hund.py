"""Recipe of HUND for faces: `python -m hund_backend.training.faces.train_face_hund FILE...`.

Supervised by synthetic faces: the landmarks and numbers that the real networks read in pictures of
`generate`, whose keys, identity and turn are known. Without pictures of other people the last tenth
validates. Faces of real clips, whose keys nobody knows, may be mixed in: their cost is the loss L
that the descent lowers itself.
"""

import argparse
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from ... import pipeline, progress, stopwatch
from ...descent.face.hund import WEIGHTS_FILE, FaceHund, FaceHundConfig
from ...descent.face.inputs import FaceInputs
from ...descent.face.model import FaceModel
from ...descent.face.neutral import displacements
from ...descent.learned.network import Step
from ...models import Models
from ...options import Options
from ..descent_training import DescentRecipe, stage_means
from ..optimization import Curve, optimize
from ..weights import write_weights
from .metrics import landmark_error, turn_error_deg
from .samples import (
    LEAST_PICTURES,
    FaceDataset,
    FaceSample,
    joined,
    load_pictures,
    samples_of,
)

logger = logging.getLogger(__name__)
_VALIDATING = 0.1  # share of the people


@dataclass(frozen=True, kw_only=True)
class FaceSupervisionConfig:
    """Weights of the terms."""

    evidence: float = 0.8  # L(s), the loss that is an input of the stages
    keys: float = 20.0  # mean distance of the coefficients
    softness: float = 0.1  # of a coefficient, below which a distance counts as its square
    active: float = 1.0  # more weight for keys that are active, by their coefficient
    landmarks: float = 150.0  # distance of the landmarks, metres
    turn: float = 4.0  # mean absolute difference of the matrices
    identity: float = 0.05


@dataclass(frozen=True, kw_only=True)
class FaceHundRecipe(DescentRecipe):
    """Training of a face's descent."""

    network: FaceHundConfig = field(default_factory=FaceHundConfig)
    supervision: FaceSupervisionConfig = field(default_factory=FaceSupervisionConfig)
    stages: tuple[int, int] = (3, 5)
    steps: int = 1200
    batch: int = 128
    unlabeled: int = 32  # more faces of a batch, of real clips, if there are any
    rate: float = 2e-3
    decay: float = 0.03


def supervised_cost(
    step: Step, sample: FaceSample, config: FaceSupervisionConfig
) -> Float[Tensor, " batch"]:
    """Cost of a state whose truth is known.

    Args:
        step: the state.
        sample: inputs and truth.
        config: weights.
    """
    posed, (inputs, truth) = step.posed, sample
    wrong = (posed.activations - truth.arkit).square()
    wrong = (wrong + config.softness**2).sqrt() - config.softness
    true_landmarks = truth.landmarks @ truth.turn.mT
    offsets = posed.landmarks - posed.landmarks.mean(1, keepdim=True) - true_landmarks
    identity = (step.vector.identity - inputs.identity).square().mean(-1)
    return (
        config.evidence * step.losses.total
        + config.keys * (wrong * (1 + config.active * truth.arkit)).mean(-1)
        + config.landmarks * (offsets.square().sum(-1) + 1e-8).sqrt().mean(-1)
        + config.turn * (posed.turn - truth.turn).abs().mean((-1, -2))
        + config.identity * inputs.known * identity
    )


def train(
    hund: FaceHund,
    dataset: FaceDataset,
    validation: FaceSample,
    recipe: FaceHundRecipe,
    checkpoint: Path | None = None,
    clips: FaceInputs | None = None,
) -> Curve:
    """Train a network in place.

    Args:
        hund: to be trained.
        dataset: of samples.
        validation: samples that the curve is measured on.
        recipe: settings.
        checkpoint: file to resume from if it exists, written at every evaluation.
        clips: faces of real clips, without labels.

    Returns:
        The curve: step, mean training loss, and metrics by stage.
    """
    generator = torch.Generator().manual_seed(recipe.seed)

    def step_loss() -> tuple[Float[Tensor, ""], float]:
        sample = dataset.draw(recipe.batch, generator)
        stages = recipe.draw_stages(generator)
        loss = batch_loss(hund, sample, recipe, stages)
        if clips is not None:
            rows = torch.randint(len(clips), (recipe.unlabeled,), generator=generator)
            loss = loss + unlabeled_loss(hund, clips.select(rows), recipe, stages)
        return loss, loss.item()

    def evaluate(step: int, train: float) -> tuple[dict[str, Any], float]:
        point = {"step": step, "train": round(train, 4)} | stage_metrics(hund, validation)
        logger.info("%s", point)
        return point, 0.0

    return optimize(hund, step_loss, evaluate, recipe, generator, checkpoint)


def batch_loss(
    hund: FaceHund, sample: FaceSample, recipe: FaceHundRecipe, stages: int
) -> Float[Tensor, ""]:
    """Meta loss of some samples; arguments as of `train`, with the number of stages."""
    steps = hund(sample.inputs, stages)
    return recipe.loss([supervised_cost(step, sample, recipe.supervision) for step in steps])


def unlabeled_loss(
    hund: FaceHund, inputs: FaceInputs, recipe: FaceHundRecipe, stages: int
) -> Float[Tensor, ""]:
    """Meta loss of faces whose keys are not known: L itself; they count by their number."""
    share = len(inputs) / recipe.batch
    weight = share * recipe.supervision.evidence
    return weight * recipe.loss([step.losses.total for step in hund(inputs, stages)])


def faces_of_clips(model: FaceModel, clips: list[Path]) -> FaceInputs:
    """Return the faces in clips, of people whose face at rest can be learned."""
    models, options, parts = Models.load("cpu"), Options(hands=False), []
    for path in clips:
        tracked = pipeline.perceive(path, options, models, progress.silent, stopwatch.Stopwatch())
        for face in (person.face for person in tracked.people):
            if face.observed.sum() >= LEAST_PICTURES:
                landmarks, numbers = (
                    each[face.observed].astype(np.float64) for each in (face.landmarks, face.arkit)
                )
                shown = displacements(model, landmarks, numbers)
                parts.append(FaceInputs.from_displacements(model, shown))
    return joined(parts)


@torch.no_grad()
def stage_metrics(hund: FaceHund, sample: FaceSample) -> dict[str, list[float]]:
    """Mean metrics of s_0 … s_M."""
    steps, truth = hund(sample.inputs), sample.truth

    def landmarks(step: Step) -> Tensor:
        return 100 * landmark_error(step.posed, truth)

    return {
        "arkit": stage_means(steps, lambda step: (step.posed.arkit - truth.arkit).abs(), 4),
        "landmarks": stage_means(steps, landmarks, 2),
        "turn_deg": stage_means(steps, lambda step: turn_error_deg(step.posed, truth), 2),
        "loss": stage_means(steps, lambda step: step.losses.total, 3),
    }


def divided(arrays: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the pictures of the people who train and of those who validate."""
    people = np.unique(arrays["person"])
    training = people[: len(people) - max(1, round(_VALIDATING * len(people)))]
    chosen = np.isin(arrays["person"], training)

    def part(rows: np.ndarray) -> dict[str, np.ndarray]:
        shared = {"vertices": arrays["vertices"]}
        return {name: v[rows] for name, v in arrays.items() if name not in shared} | shared

    return part(chosen), part(~chosen)


def main() -> None:
    """Train the network and write its weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", help="pictures of `generate`")
    parser.add_argument("--validation", type=Path, help="pictures of other people")
    parser.add_argument(
        "--clips", type=Path, nargs="*", default=[], help="with faces, without labels"
    )
    parser.add_argument("--weights", type=Path, help="initial weights")
    parser.add_argument("--steps", type=int, default=FaceHundRecipe.steps)
    parser.add_argument("--seed", type=int, default=FaceHundRecipe.seed)
    parser.add_argument("--checkpoint", type=Path, help="resume from this file if it exists")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = FaceHundRecipe(steps=arguments.steps, seed=arguments.seed)
    logger.info("%s", recipe)
    model = FaceModel.load()
    pictures = load_pictures(arguments.files)
    if arguments.validation is None:
        parts = divided(pictures)
    else:
        parts = pictures, load_pictures([arguments.validation])
    training, validating = (samples_of(model, part) for part in parts)
    torch.manual_seed(recipe.seed)
    hund = FaceHund(recipe.network, model)
    hund.decoder.set_mixing(training.truth.arkit)
    if arguments.weights is not None:
        tensors = load_file(arguments.weights)
        hund.load_state_dict({name: values.float() for name, values in tensors.items()})
    clips = faces_of_clips(model, arguments.clips) if arguments.clips else None
    dataset = FaceDataset(training, model)
    curve = train(hund, dataset, validating, recipe, arguments.checkpoint, clips)
    description = hund.description() | {"recipe": asdict(recipe), "curve": curve}
    write_weights(arguments.output, hund.state_dict(), description, torch.float16)


if __name__ == "__main__":
    main()
