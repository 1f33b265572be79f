"""Recipe of the contact network.

`python -m hund_backend.training.motion.train_contacts EXAMPLES …`, with the files that
`contact_examples` has written.
"""

import argparse
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ...body.contact_points import CONTACT_NAMES, MIRRORED_POINTS
from ...body.soles import SOLE_NAMES
from ...motion.contact_features import (
    ACROSS,
    CONFIDENCE,
    FEATURE_FPS,
    HEIGHTS,
    PELVIS_UP,
    PELVIS_VELOCITY,
    POSITIONS,
    VELOCITIES,
)
from ...motion.contact_network import KINDS, WEIGHTS_FILE, ContactNetwork
from ..optimization import Curve, optimize
from ..weights import write_weights
from .contact_examples import SPLITS, ContactExamples

logger = logging.getLogger(__name__)

PARTS = {"soles": KINDS[:3], "hands": ("hand",), "knees": ("knee",), "seats": ("seat",)}
_NUM_SOLES = len(SOLE_NAMES)
SOLE_COLUMNS = range(_NUM_SOLES)
OTHER_COLUMNS = range(_NUM_SOLES, len(CONTACT_NAMES))
EVENT_REACH = 5  # frames: a contact that begins or ends further off is missed, not late


@dataclass(frozen=True, kw_only=True)
class ContactRecipe:
    """Training of the contact network."""

    steps: int = 800
    batch: int = 12
    length: int = 24  # frames of a training example
    rate: float = 2e-3
    decay: float = 3e-2
    clip: float = 5.0
    every: int = 200
    patience: int = 4
    noise: float = 0.2  # of the features, in units of their deviation
    offset: float = 0.3  # the same, of an error that stays over an example
    floor_share: float = 0.3  # of the examples in which people bear on more than their soles
    points: int = 2  # of the soles, and of the others, whose loss a step takes
    folds: int = 2  # groups of performers for the calibration
    seed: int = 0


@dataclass(frozen=True)
class Example:
    """Features of one estimated piece of motion, and its true contacts."""

    features: Float[Tensor, "frames features"]
    contacts: Bool[Tensor, "frames 12"]
    known: Bool[Tensor, " frames"]
    subject: int
    split: str


def load_examples(paths: Sequence[Path]) -> list[Example]:
    """Examples of files that `contact_examples` has written."""
    found = []
    for path in paths:
        each = ContactExamples.load(path)
        for number, which in enumerate(each.splits):
            frames = slice(each.starts[number], each.starts[number + 1])
            arrays = (each.features[frames], each.contacts[frames], each.known[frames])
            tensors = (torch.from_numpy(array) for array in arrays)
            found.append(Example(*tensors, int(each.subjects[number]), SPLITS[which]))
    return found


def train_contacts(
    examples: Sequence[Example], recipe: ContactRecipe
) -> tuple[ContactNetwork, Curve]:
    """Train the network; the best on the validation split is returned."""
    torch.manual_seed(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    network = ContactNetwork()
    train = _Frames.of([each for each in examples if each.split == "train"], recipe.length)
    _normalize(network, train.features)

    def step_loss() -> tuple[Tensor, float]:
        features, contacts, known = train.sample(recipe, generator)
        noise = recipe.noise * torch.randn(features.shape, generator=generator)
        noise += recipe.offset * torch.randn(features[:, :1].shape, generator=generator)
        network.train()
        points = [
            group[int(which)]
            for group in (SOLE_COLUMNS, OTHER_COLUMNS)
            for which in torch.randperm(len(group), generator=generator)[: recipe.points]
        ]
        log_odds = network(features + noise * network.scale, points)
        truth = contacts[..., points][known].float()
        loss = binary_cross_entropy_with_logits(log_odds[known], truth)
        return loss, float(loss.detach())

    def evaluate(step: int, mean: float) -> tuple[dict[str, Any], float]:
        figures = evaluated(network.eval(), [e for e in examples if e.split == "validation"])
        point = {"step": step, "train": mean} | figures
        logger.info("%s", point)
        return point, -figures["all"]["loss"]

    curve = optimize(network, step_loss, evaluate, recipe, generator, patience=recipe.patience)
    return network.eval().requires_grad_(False), curve


def _normalize(network: ContactNetwork, features: Float[Tensor, "frames features"]) -> None:
    """Set the network's normalization: the same for a motion and its mirror image."""
    mean, square = features.mean(0), features.square().mean(0)
    for columns in (POSITIONS, VELOCITIES):
        for values in (mean, square):
            vectors = values[columns].unflatten(0, (-1, 3))
            mirror = vectors[MIRRORED_POINTS].clone()
            if values is mean:
                mirror[:, 0] *= -1
            values[columns] = ((vectors + mirror) / 2).flatten()
    for columns in (ACROSS, HEIGHTS, CONFIDENCE):
        for values in (mean, square):
            values[columns] = (values[columns] + values[columns][MIRRORED_POINTS]) / 2
    for columns in (PELVIS_VELOCITY, PELVIS_UP):
        mean[columns.start] = 0
    network.mean.copy_(mean)
    network.scale.copy_((square - mean.square()).clamp(min=1e-6).sqrt())


def calibrated(
    network: ContactNetwork, examples: Sequence[Example], recipe: ContactRecipe
) -> ContactNetwork:
    """Return the network with slopes and offsets for log-odds of performers that it has not seen.

    The validation split shows performers of the training split: on it the network is surer than on
    others. So it is trained anew without each group of performers in turn, and the log-odds of all
    of these are fitted to the truth (Platt scaling), kind by kind.
    """
    known = [each for each in examples if each.split != "held_out"]
    subjects = sorted({each.subject for each in known})
    log_odds, truth = [], []
    for fold in range(recipe.folds):
        group = set(subjects[fold :: recipe.folds])
        others = [each for each in known if each.subject not in group]
        partial, _ = train_contacts(others, recipe)
        for each in known:
            if each.subject in group:
                log_odds.append(_log_odds(partial, each))
                truth.append(each.contacts[each.known])
    values, contacts = torch.cat(log_odds), torch.cat(truth).float()
    slopes, offsets = torch.ones(len(KINDS)), torch.zeros(len(KINDS))
    for kind, name in enumerate(KINDS):
        columns = columns_of((name,))
        slopes[kind], offsets[kind] = platt_scaling(values[:, columns], contacts[:, columns])
    losses = [
        float(binary_cross_entropy_with_logits(values[:, columns], contacts[:, columns]))
        for columns in map(columns_of, PARTS.values())
    ]
    logger.info("unseen performers: losses %s", dict(zip(PARTS, losses, strict=True)))
    logger.info("slopes %s, offsets %s", slopes.tolist(), offsets.tolist())
    order = torch.tensor([KINDS.index(name.split("_")[1]) for name in CONTACT_NAMES])
    network.slopes.copy_(slopes[order])
    network.offsets.copy_(offsets[order])
    return network


def platt_scaling(
    log_odds: Float[Tensor, "*items"], truth: Float[Tensor, "*items"]
) -> tuple[float, float]:
    """Slope and offset of log-odds that fit the truth best, drawn to 1 and 0 where there is little.

    Args:
        log_odds: of a network.
        truth: 0 or 1.
    """
    numbers = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    values, truth = log_odds.double(), truth.double()
    optimizer = torch.optim.LBFGS([numbers], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        fitted = numbers[0] * values + numbers[1]
        loss = binary_cross_entropy_with_logits(fitted, truth)
        loss = loss + 1e-3 * ((numbers[0] - 1).square() + numbers[1].square())
        loss.backward()
        return loss

    optimizer.step(closure)
    slope, offset = numbers.detach().tolist()
    return slope, offset


def columns_of(kinds: tuple[str, ...]) -> list[int]:
    """Columns of the contacts of some kinds of points."""
    return [i for i, name in enumerate(CONTACT_NAMES) if name.split("_")[1] in kinds]


@torch.no_grad()
def _log_odds(network: ContactNetwork, example: Example) -> Float[Tensor, "known 12"]:
    return network(example.features[None])[0][example.known]


@torch.no_grad()
def evaluated(network: ContactNetwork, examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """Loss, F1, calibration error and timing error in ms of all contacts and of each part."""
    log_odds = torch.cat([_log_odds(network, each) for each in examples])
    contacts = torch.cat([each.contacts[each.known] for each in examples])
    figures = {}
    for part, kinds in {"all": KINDS, **PARTS}.items():
        columns = columns_of(kinds)
        values, truth = log_odds[:, columns], contacts[:, columns]
        found = values > 0
        both = (found.sum() + truth.sum()).clamp(min=1)
        figures[part] = {
            "loss": float(binary_cross_entropy_with_logits(values, truth.float())),
            "f1": float(2 * (found & truth).sum() / both),
            "calibration_error": calibration_error(
                values.sigmoid().numpy().ravel(), truth.numpy().ravel()
            ),
            "timing_ms": timing_ms(found.numpy(), truth.numpy()),
            "share": float(truth.float().mean()),
        }
    return figures


def timing_ms(
    found: Bool[np.ndarray, "frames points"], truth: Bool[np.ndarray, "frames points"]
) -> float:
    """Mean distance in ms from begins and ends of true contacts to the nearest ones found."""
    errors = []
    for point in range(truth.shape[1]):
        for sign in (1, -1):
            events = np.flatnonzero(np.diff(found[:, point].astype(int)) == sign)
            for event in np.flatnonzero(np.diff(truth[:, point].astype(int)) == sign):
                distance = np.abs(events - event).min(initial=EVENT_REACH + 1)
                errors += [distance] if distance <= EVENT_REACH else []
    return float(1000 / FEATURE_FPS * np.mean(errors)) if errors else math.nan


def calibration_error(
    probability: Float[np.ndarray, " items"], truth: Bool[np.ndarray, " items"], bins: int = 10
) -> float:
    """Expected calibration error: mean distance of a bin's probability from its frequency."""
    which = np.minimum((probability * bins).astype(int), bins - 1)
    counts = np.bincount(which, minlength=bins)
    gaps = np.bincount(which, weights=probability - truth, minlength=bins)
    return float(np.abs(gaps).sum() / counts.sum())


@dataclass(frozen=True)
class _Frames:
    """Frames of examples, one after the other, and where pieces may begin."""

    features: Float[Tensor, "frames features"]
    contacts: Bool[Tensor, "frames 12"]
    known: Bool[Tensor, " frames"]
    firsts: Tensor
    of_kinds: tuple[Tensor, ...]
    """Those of `firsts` at which somebody bears on hands, on knees, and on the seat."""

    @classmethod
    def of(cls, examples: Sequence[Example], length: int) -> "_Frames":
        firsts, count = [], 0
        for each in examples:
            stop = count + len(each.features)
            firsts += range(count, stop - length + 1)
            count = stop
        contacts = torch.cat([each.contacts for each in examples])
        first = torch.tensor(firsts)
        return cls(
            torch.cat([each.features for each in examples]),
            contacts,
            torch.cat([each.known for each in examples]),
            first,
            tuple(
                first[contacts[:, columns_of((kind,))].any(-1)[first + length // 2]]
                for kind in KINDS[3:]
            ),
        )

    def sample(
        self, recipe: ContactRecipe, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Random pieces, some of them of people who bear on more than their soles."""
        rare = [firsts for firsts in self.of_kinds if len(firsts)]
        count = round(recipe.floor_share * recipe.batch / max(len(rare), 1))
        sizes = [recipe.batch - count * len(rare)] + [count] * len(rare)
        chosen = [
            firsts[torch.randint(len(firsts), (size,), generator=generator)]
            for firsts, size in zip((self.firsts, *rare), sizes, strict=True)
        ]
        index = torch.cat(chosen)[:, None] + torch.arange(recipe.length)
        return self.features[index], self.contacts[index], self.known[index]


def main() -> None:
    """Train on examples and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("examples", type=Path, nargs="+", help="written by contact_examples")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--steps", type=int, default=ContactRecipe.steps)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    recipe = ContactRecipe(steps=arguments.steps, seed=arguments.seed)
    examples = load_examples(arguments.examples)
    network, curve = train_contacts(examples, recipe)
    network = calibrated(network, examples, recipe)
    figures = {
        split: evaluated(network, [each for each in examples if each.split == split])
        for split in SPLITS
    }
    logger.info("%s", figures)
    description = {
        "kind": "contacts of soles, hands, knees and seats",
        "config": asdict(network.config),
        "recipe": asdict(recipe),
        "figures": figures,
        "curve": curve,
    }
    write_weights(arguments.output, network.state_dict(), description)


if __name__ == "__main__":
    main()
