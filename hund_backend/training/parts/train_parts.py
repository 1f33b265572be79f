"""Recipe of the part head: `python -m hund_backend.training.parts.train_parts FEATURES`.

FEATURES is the folder that part_features.py fills. The loss is cross entropy with the share of
each cell that each part covers, rare parts counting more, and soft Dice (Milletari et al., "V-Net",
2016), which looks at parts as wholes.
"""

import argparse
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save
from torch import Tensor, nn

from hund_backend.body.skeleton import PART_NAMES
from hund_backend.perception.part_head import (
    WEIGHTS_FILE,
    PartHead,
    PartHeadConfig,
    PartHeadInputs,
)

from ...atomic_write import write_file
from ..checkpoint import load_checkpoint, save_checkpoint
from ..schedule import rate_factor
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
Curve = list[dict[str, int | float]]
Labels = tuple[Int[np.ndarray, "pictures 64 64"], Int[np.ndarray, "pictures 64 64"]]


@dataclass(frozen=True, kw_only=True)
class PartRecipe:
    """How the part head is trained."""

    widths: tuple[int, ...] = PartHeadConfig.widths
    kernel: int = PartHeadConfig.kernel
    steps: int = 6000
    batch: int = 32
    rate: float = 3e-3
    decay: float = 1e-3
    clip: float = 5.0  # of the gradient's norm
    rarity: float = 0.15  # power of a part's share of all cells by which it counts less
    dice: float = 1.0  # weight of Dice beside cross entropy
    astray: float = 0.6  # noise of the keypoints, cells
    unseen: float = 0.1  # probability that a keypoint is said to be hidden
    dropped: float = 0.1  # probability that a channel of the inner features is not given
    tint: float = (
        0.2  # of the picture's colors: spread of their factors and half that of their shifts
    )
    every: int = 250  # steps from one look at the validation pictures to the next
    patience: int = 8  # looks without a better value after which the training ends
    seed: int = 0


@runtime_checkable
class Pictures(Protocol):
    """Pictures that can be had in batches, as FeatureSet."""

    def __len__(self) -> int: ...

    def batch(self, indices: list[int]) -> Batch:
        """Some of them."""


def part_loss(
    logits: Float[Tensor, "pictures parts height width"],
    truth: Float[Tensor, "pictures parts height width"],
    rarity: float,
    dice: float,
) -> Float[Tensor, ""]:
    """Cross entropy in which rare parts count more, and soft Dice over the parts of the batch.

    Args:
        logits: of the parts.
        truth: share of each cell that each part covers.
        rarity: power of a part's share of all cells by which it counts less, 0…1.
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


def disturbed(
    clues: PartHeadInputs, recipe: PartRecipe, generator: torch.Generator
) -> PartHeadInputs:
    """Clues that are worse, as those of real pictures are: the head shall not lean on one alone."""
    noise = recipe.astray * torch.randn(*clues.points.shape[:2], 2, generator=generator)
    hidden = torch.rand(*clues.points.shape[:2], generator=generator) < recipe.unseen
    places, depth = clues.points[..., :2] + noise, clues.points[..., 2]
    seen = torch.where(hidden, 0, clues.points[..., 3])
    return PartHeadInputs(
        decoder=_thinned(clues.decoder, recipe.dropped, generator),
        bottleneck=_thinned(clues.bottleneck, recipe.dropped, generator),
        trunk=_thinned(clues.trunk, recipe.dropped, generator),
        picture=_tinted(clues.picture, recipe.tint, generator),
        mask=clues.mask,
        points=torch.cat((places, depth[..., None], seen[..., None]), dim=-1),
    )


def _tinted(
    picture: Float[Tensor, "pictures 3 height width"], tint: float, generator: torch.Generator
) -> Float[Tensor, "pictures 3 height width"]:
    """Pictures in other light."""
    factor, shift = torch.randn(2, len(picture), 3, 1, 1, generator=generator)
    return picture * (1 + tint * factor) + tint / 2 * shift


def _thinned(
    features: Float[Tensor, "pictures channels height width"],
    dropped: float,
    generator: torch.Generator,
) -> Float[Tensor, "pictures channels height width"]:
    """Features without some of their channels, the others so much brighter."""
    kept = torch.rand(*features.shape[:2], 1, 1, generator=generator) >= dropped
    return features * kept / (1 - dropped)


@torch.no_grad()
def told_labels(head: PartHead, pictures: Pictures, batch: int = 25) -> Iterator[Labels]:
    """The true part of each cell and the one that the head tells, some pictures at a time."""
    head.eval()
    for start in range(0, len(pictures), batch):
        shown = pictures.batch(list(range(start, min(start + batch, len(pictures)))))
        told = head(shown.clues).argmax(dim=1)
        yield shown.parts.argmax(dim=1).numpy(), told.numpy()
    head.train()


def score(head: PartHead, pictures: Pictures) -> Confusion:
    """Cells by their true part and the one that the head tells."""
    counts = np.zeros((PARTS, PARTS), np.int64)
    for true, told in told_labels(head, pictures):
        counts += confusion(true, told)
    return counts


def train(
    head: PartHead,
    pictures: Pictures,
    validation: Pictures,
    recipe: PartRecipe,
    checkpoint: Path | None = None,
) -> Curve:
    """Train a head; leaves the weights of the best validation.

    Args:
        head: to train.
        pictures: to learn from.
        validation: pictures by which the best weights are chosen.
        recipe: how.
        checkpoint: file to go on from, if it is there, and to write at every look.

    Returns:
        the curve: step, training loss, mean part IoU of the validation.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    head.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(head.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    progress: dict = {"step": 0, "curve": [], "best": -1.0, "waited": 0}
    best = _copied(head)
    if checkpoint is not None and checkpoint.exists():
        progress = load_checkpoint(checkpoint, head, optimizer, generator)
        best = load_file(checkpoint.with_suffix(".best"))
    total = 0.0
    while progress["step"] < recipe.steps and progress["waited"] < recipe.patience:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * rate_factor(progress["step"] / recipe.steps, rise=0.05)
        picks = torch.randint(len(pictures), (recipe.batch,), generator=generator).tolist()
        total += _step(head, pictures.batch(picks), optimizer, recipe, generator)
        progress["step"] += 1
        if progress["step"] % recipe.every:
            continue
        value = mean_part_iou(score(head, validation))
        point = {"step": progress["step"], "loss": total / recipe.every, "part_iou": value}
        progress["curve"].append(point)
        logger.info("%6d  loss %.4f  validation part IoU %.4f", *point.values())
        total, progress["waited"] = 0.0, progress["waited"] + 1
        if value > progress["best"]:
            progress |= {"best": value, "waited": 0}
            best = _copied(head)
        if checkpoint is not None:
            write_file(checkpoint.with_suffix(".best"), save(best))
            save_checkpoint(checkpoint, head, optimizer, generator, progress)
    head.load_state_dict(best)
    return progress["curve"]


def _step(
    head: PartHead,
    shown: Batch,
    optimizer: torch.optim.Optimizer,
    recipe: PartRecipe,
    generator: torch.Generator,
) -> float:
    """One step down; answers the loss before it."""
    logits = head(disturbed(shown.clues, recipe, generator))
    loss = part_loss(logits, shown.parts, recipe.rarity, recipe.dice)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(head.parameters(), recipe.clip)
    optimizer.step()
    return loss.item()


def _copied(head: PartHead) -> dict[str, Tensor]:
    return {name: values.clone().contiguous() for name, values in head.state_dict().items()}


def fit_parts(
    pictures: Pictures, validation: Pictures, recipe: PartRecipe, checkpoint: Path | None = None
) -> tuple[PartHead, Curve]:
    """A trained head, and its curve."""
    torch.manual_seed(recipe.seed)
    head = PartHead(PartHeadConfig(widths=recipe.widths, kernel=recipe.kernel))
    curve = train(head, pictures, validation, recipe, checkpoint)
    return head.eval().requires_grad_(False), curve


def report(head: PartHead, features: Path) -> dict[str, object]:
    """Figures of the model card, of pictures of other people, clothes and motions."""
    figures: dict[str, object] = {}
    for split in ("validation", "held_out"):
        pictures = FeatureSet(features, split)
        counts = score(head, pictures)
        figures[split] = {
            "pictures": len(pictures),
            "part_iou": mean_part_iou(counts),
            "foreground_iou": foreground_iou(counts),
            "wrong_side": side_confusion(counts),
            "parts": dict(zip(PART_NAMES, part_iou(counts).round(3).tolist(), strict=True)),
        }
    return figures


def main() -> None:
    """Train a head on a folder of features and write it into the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features", type=Path, help="folder that part_features fills")
    parser.add_argument("--steps", type=int, default=PartRecipe.steps)
    parser.add_argument("--seed", type=int, default=PartRecipe.seed)
    parser.add_argument("--checkpoint", type=Path, help="goes on from this file if it is there")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = PartRecipe(steps=chosen.steps, seed=chosen.seed)
    pictures = FeatureSet(chosen.features, "train")
    logger.info("%s of %d pictures", recipe, len(pictures))
    validation = FeatureSet(chosen.features, "validation")
    head, curve = fit_parts(pictures, validation, recipe, chosen.checkpoint)
    figures = report(head, chosen.features)
    description = {
        "kind": "part head",
        "config": asdict(head.config),
        "recipe": asdict(recipe) | {"pictures": len(pictures)},
        "figures": figures,
        "curve": curve,
    }
    write_weights(chosen.output, head.state_dict(), description)
    logger.info("%s", json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
