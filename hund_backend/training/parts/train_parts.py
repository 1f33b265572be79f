"""Recipe of the part head: `python -m hund_backend.training.parts.train_parts FEATURES`.

FEATURES is the folder that features.py fills. The loss is cross entropy with the share of each cell
that each part covers, with larger weights for rare parts, and soft Dice (Milletari et al.,
"V-Net", 2016), which compares parts as wholes.
"""

import argparse
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...body.skeleton import PART_NAMES
from ...perception.part_head import (
    WEIGHTS_FILE,
    PartHead,
    PartHeadConfig,
    PartHeadInputs,
)
from ..optimization import Curve, optimize
from ..weights import write_weights
from .features import Batch, FeatureSet
from .metrics import (
    PARTS,
    Confusion,
    confusion,
    foreground_iou,
    mean_part_iou,
    part_iou,
    side_confusion,
)

logger = logging.getLogger(__name__)
Labels = tuple[Int[np.ndarray, "pictures 64 64"], Int[np.ndarray, "pictures 64 64"]]


@dataclass(frozen=True, kw_only=True)
class PartRecipe:
    """Training of the part head."""

    widths: tuple[int, ...] = PartHeadConfig.widths
    kernel: int = PartHeadConfig.kernel
    steps: int = 6000
    batch: int = 32
    rate: float = 3e-3
    decay: float = 1e-3
    clip: float = 5.0  # largest norm of the gradient
    rarity: float = 0.15  # power of a part's share of all cells by which its weight falls
    dice: float = 1.0  # weight of Dice beside cross entropy
    keypoint_noise: float = 0.6  # cells
    keypoint_dropout: float = 0.1  # probability of a keypoint to be marked as hidden
    channel_dropout: float = 0.1  # probability of a channel of the inner features to be zero
    # Standard deviation of the factors of the picture's color channels; that of their shifts is
    # half of it.
    color_jitter: float = 0.2
    every: int = 250  # steps between evaluations
    patience: int = 8  # evaluations without a better one after which the training ends
    seed: int = 0


@runtime_checkable
class Features(Protocol):
    """Features that can be read in batches, as FeatureSet."""

    def __len__(self) -> int: ...

    def batch(self, indices: list[int]) -> Batch:
        """Return the features of some pictures."""


def part_loss(
    logits: Float[Tensor, "pictures parts height width"],
    truth: Float[Tensor, "pictures parts height width"],
    rarity: float,
    dice: float,
) -> Float[Tensor, ""]:
    """Cross entropy with larger weights for rare parts, and soft Dice over the parts of the batch.

    Args:
        logits: of the parts.
        truth: share of each cell that each part covers.
        rarity: power of a part's share of all cells by which its weight falls, 0…1.
        dice: weight of Dice.
    """
    share = truth.mean(dim=(0, 2, 3)).clamp(min=1e-4)
    weight = share**-rarity / (share ** (1 - rarity)).sum()  # mean weight of a cell: one
    log_probs = logits.log_softmax(dim=1)
    entropy = -(weight[:, None, None] * truth * log_probs).sum(dim=1).mean()
    probs = log_probs.exp()
    both = (probs * truth).sum(dim=(0, 2, 3))
    either = (probs.square() + truth.square()).sum(dim=(0, 2, 3)).clamp(min=1e-3)
    return entropy + dice * (1 - 2 * both / either)[1:].mean()


def augment_inputs(
    inputs: PartHeadInputs, recipe: PartRecipe, generator: torch.Generator
) -> PartHeadInputs:
    """Degrade inputs as real pictures do, so that the head does not rely on one of them alone."""
    noise = recipe.keypoint_noise * torch.randn(*inputs.points.shape[:2], 2, generator=generator)
    hidden = torch.rand(*inputs.points.shape[:2], generator=generator) < recipe.keypoint_dropout
    cells, depth = inputs.points[..., :2] + noise, inputs.points[..., 2]
    visibility = torch.where(hidden, 0, inputs.points[..., 3])
    return PartHeadInputs(
        decoder=_drop_channels(inputs.decoder, recipe.channel_dropout, generator),
        bottleneck=_drop_channels(inputs.bottleneck, recipe.channel_dropout, generator),
        trunk=_drop_channels(inputs.trunk, recipe.channel_dropout, generator),
        picture=_jitter_colors(inputs.picture, recipe.color_jitter, generator),
        mask=inputs.mask,
        points=torch.cat((cells, depth[..., None], visibility[..., None]), dim=-1),
    )


def _jitter_colors(
    picture: Float[Tensor, "pictures 3 height width"], std: float, generator: torch.Generator
) -> Float[Tensor, "pictures 3 height width"]:
    factor, shift = torch.randn(2, len(picture), 3, 1, 1, generator=generator)
    return picture * (1 + std * factor) + std / 2 * shift


def _drop_channels(
    features: Float[Tensor, "pictures channels height width"],
    probability: float,
    generator: torch.Generator,
) -> Float[Tensor, "pictures channels height width"]:
    """Dropout of whole channels; the others are scaled so that the mean stays."""
    kept = torch.rand(*features.shape[:2], 1, 1, generator=generator) >= probability
    return features * kept / (1 - probability)


@torch.no_grad()
def predicted_labels(head: PartHead, features: Features, batch: int = 25) -> Iterator[Labels]:
    """Yield the true and the predicted part of each cell, batch by batch."""
    head.eval()
    for start in range(0, len(features), batch):
        some = features.batch(list(range(start, min(start + batch, len(features)))))
        predicted = head(some.inputs).argmax(dim=1)
        yield some.parts.argmax(dim=1).numpy(), predicted.numpy()
    head.train()


def evaluate(head: PartHead, features: Features) -> Confusion:
    """Count cells by their true and their predicted part."""
    counts = np.zeros((PARTS, PARTS), np.int64)
    for true, predicted in predicted_labels(head, features):
        counts += confusion(true, predicted)
    return counts


def train(
    head: PartHead,
    training: Features,
    validation: Features,
    recipe: PartRecipe,
    checkpoint: Path | None = None,
) -> Curve:
    """Train a head, which ends with the weights of the best validation.

    Args:
        head: to train.
        training: features of the training.
        validation: features by which the best weights are chosen.
        recipe: settings.
        checkpoint: file to resume from if it exists, written at every evaluation.

    Returns:
        The curve: step, training loss, mean part IoU of the validation.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    head.to(memory_format=torch.channels_last).train()

    def step_loss() -> tuple[Float[Tensor, ""], float]:
        picks = torch.randint(len(training), (recipe.batch,), generator=generator).tolist()
        batch = training.batch(picks)
        logits = head(augment_inputs(batch.inputs, recipe, generator))
        loss = part_loss(logits, batch.parts, recipe.rarity, recipe.dice)
        return loss, loss.item()

    def evaluate_step(step: int, loss: float) -> tuple[dict[str, Any], float]:
        value = mean_part_iou(evaluate(head, validation))
        point = {"step": step, "loss": loss, "part_iou": value}
        logger.info("%6d  loss %.4f  validation part IoU %.4f", *point.values())
        return point, value

    return optimize(
        head,
        step_loss,
        evaluate_step,
        recipe,
        generator,
        checkpoint,
        patience=recipe.patience,
        warmup=0.05,
    )


def train_part_head(
    training: Features,
    validation: Features,
    recipe: PartRecipe,
    checkpoint: Path | None = None,
    initial: PartHead | None = None,
) -> tuple[PartHead, Curve]:
    """Return a trained head, and its curve; an initial head of the recipe's sizes is trained on."""
    torch.manual_seed(recipe.seed)
    head = PartHead(PartHeadConfig(widths=recipe.widths, kernel=recipe.kernel))
    if initial is not None:
        head.load_state_dict(initial.state_dict())
    curve = train(head, training, validation, recipe, checkpoint)
    return head.eval().requires_grad_(False), curve


def report(head: PartHead, folder: Path) -> dict[str, object]:
    """Metrics of the model card, on pictures of other people, clothes and motions."""
    figures: dict[str, object] = {}
    for split in ("validation", "held_out"):
        features = FeatureSet(folder, split)
        counts = evaluate(head, features)
        figures[split] = {
            "pictures": len(features),
            "part_iou": mean_part_iou(counts),
            "foreground_iou": foreground_iou(counts),
            "wrong_side": side_confusion(counts),
            "parts": dict(zip(PART_NAMES, part_iou(counts).round(3).tolist(), strict=True)),
        }
    return figures


def main() -> None:
    """Train a head on a folder of features and write its weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features", type=Path, help="folder that features.py fills")
    parser.add_argument("--steps", type=int, default=PartRecipe.steps)
    parser.add_argument("--rate", type=float, default=PartRecipe.rate)
    parser.add_argument("--seed", type=int, default=PartRecipe.seed)
    parser.add_argument("--weights", type=Path, help="initial weights; default: none")
    parser.add_argument("--checkpoint", type=Path, help="resume from this file if it exists")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = PartRecipe(steps=arguments.steps, rate=arguments.rate, seed=arguments.seed)
    training = FeatureSet(arguments.features, "train")
    logger.info("%s of %d pictures", recipe, len(training))
    validation = FeatureSet(arguments.features, "validation")
    initial = arguments.weights and PartHead.load(arguments.weights)
    head, curve = train_part_head(training, validation, recipe, arguments.checkpoint, initial)
    figures = report(head, arguments.features)
    description = {
        "kind": "part head",
        "config": asdict(head.config),
        "recipe": asdict(recipe) | {"pictures": len(training)},
        "figures": figures,
        "curve": curve,
    }
    write_weights(arguments.output, head.state_dict(), description)
    logger.info("%s", json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
