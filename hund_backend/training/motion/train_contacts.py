"""Recipe of the contact network.

`python -m hund_backend.training.motion.train_contacts EXAMPLES …`, with the files that
`contact_examples` has written.
"""

import argparse
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ...motion.contact_network import WEIGHTS_FILE, ContactNetwork
from ..optimization import Curve, optimize
from ..weights import write_weights
from .contact_examples import SPLITS, ContactExamples

logger = logging.getLogger(__name__)

# Features of the left sole's points, then the right one's; x of vectors changes its sign.
_VECTORS = (0, 18)  # first columns of the soles' vectors: positions, velocities
_SCALARS = (36, 42, 54)  # of values of the soles: speeds across, heights, confidence
_SINGLE = (48, 51)  # of single vectors: the pelvis's velocity and up direction


@dataclass(frozen=True, kw_only=True)
class ContactRecipe:
    """Training of the contact network."""

    steps: int = 3000
    batch: int = 64
    length: int = 24  # frames of a training example
    rate: float = 2e-3
    decay: float = 3e-2
    clip: float = 5.0
    every: int = 100
    patience: int = 6
    noise: float = 0.2  # of the features, in units of their deviation
    seed: int = 0


def mirrored(features: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch features"]:
    """Features of the mirrored motion."""
    result = features.clone()
    for first in _VECTORS:
        soles = features[..., first : first + 18].unflatten(-1, (2, 3, 3)).flip(-3)
        flipped = soles * soles.new_tensor([-1.0, 1.0, 1.0])
        result[..., first : first + 18] = flipped.flatten(-3)
    for first in _SCALARS:
        values = features[..., first : first + 6].unflatten(-1, (2, 3)).flip(-2)
        result[..., first : first + 6] = values.flatten(-2)
    for first in _SINGLE:
        result[..., first] = -features[..., first]
    return result


def train_contacts(
    examples: list[ContactExamples], recipe: ContactRecipe
) -> tuple[ContactNetwork, Curve]:
    """Train the network; the best on the validation split is returned."""
    torch.manual_seed(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    network = ContactNetwork()
    train = _Frames.of(examples, "train", recipe.length)
    both = torch.cat((train.features, mirrored(train.features)))
    network.mean.copy_(both.mean(0))
    network.scale.copy_(both.std(0).clamp(min=1e-3))

    def step_loss() -> tuple[Tensor, float]:
        features, contacts = train.sample(recipe, generator)
        noise = torch.randn(features.shape, generator=generator) * network.scale
        network.train()
        loss = _loss(network, features + recipe.noise * noise, contacts)
        return loss, float(loss.detach())

    def evaluate(step: int, mean: float) -> tuple[dict[str, Any], float]:
        figures = evaluated(network.eval(), examples, "validation")
        point = {"step": step, "train": mean} | figures
        logger.info("%s", point)
        return point, -figures["loss"]

    curve = optimize(network, step_loss, evaluate, recipe, generator, patience=recipe.patience)
    return network.eval().requires_grad_(False), curve


@torch.no_grad()
def evaluated(
    network: ContactNetwork, examples: list[ContactExamples], split: str
) -> dict[str, float]:
    """Loss, F1 and calibration error on the examples of a split."""
    log_odds, truth = [], []
    for each in examples:
        for number, which in enumerate(each.splits):
            if SPLITS[which] == split:
                frames = slice(each.starts[number], each.starts[number + 1])
                features = torch.from_numpy(each.features[frames])
                log_odds.append(network(features[None])[0])
                truth.append(torch.from_numpy(each.contacts[frames]))
    values, contacts = torch.cat(log_odds), torch.cat(truth)
    found = values > 0
    loss = binary_cross_entropy_with_logits(values, contacts.float())
    f1 = 2 * (found & contacts).sum() / (found.sum() + contacts.sum())
    return {
        "loss": float(loss),
        "f1": float(f1),
        "calibration_error": calibration_error(
            values.sigmoid().numpy().ravel(), contacts.numpy().ravel()
        ),
    }


def calibration_error(
    probability: Float[np.ndarray, " items"], truth: Bool[np.ndarray, " items"], bins: int = 10
) -> float:
    """Expected calibration error: mean distance of a bin's probability from its frequency."""
    which = np.minimum((probability * bins).astype(int), bins - 1)
    counts = np.bincount(which, minlength=bins)
    gaps = np.bincount(which, weights=probability - truth, minlength=bins)
    return float(np.abs(gaps).sum() / counts.sum())


def _loss(
    network: ContactNetwork,
    features: Float[Tensor, "batch frames features"],
    contacts: Bool[Tensor, "batch frames 6"],
) -> Float[Tensor, ""]:
    return binary_cross_entropy_with_logits(network(features), contacts.float())


@dataclass(frozen=True)
class _Frames:
    """Frames of a split, one example after the other, and where pieces may begin."""

    features: Float[Tensor, "frames features"]
    contacts: Bool[Tensor, "frames 6"]
    firsts: Tensor

    @classmethod
    def of(cls, examples: list[ContactExamples], split: str, length: int) -> "_Frames":
        features, contacts, firsts, count = [], [], [], 0
        for each in examples:
            for number, which in enumerate(each.splits):
                start, stop = int(each.starts[number]), int(each.starts[number + 1])
                if SPLITS[which] != split or stop - start < length:
                    continue
                features.append(torch.from_numpy(each.features[start:stop]))
                contacts.append(torch.from_numpy(each.contacts[start:stop]))
                firsts += range(count, count + stop - start - length + 1)
                count += stop - start
        return cls(torch.cat(features), torch.cat(contacts), torch.tensor(firsts))

    def sample(self, recipe: ContactRecipe, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random pieces, half of them mirrored."""
        chosen = torch.randint(len(self.firsts), (recipe.batch,), generator=generator)
        index = self.firsts[chosen][:, None] + torch.arange(recipe.length)
        features, contacts = self.features[index], self.contacts[index]
        flip = torch.rand(recipe.batch, 1, 1, generator=generator) < 0.5
        swapped = contacts.unflatten(-1, (2, 3)).flip(-2).flatten(-2)
        return (
            torch.where(flip, mirrored(features), features),
            torch.where(flip, swapped, contacts),
        )


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
    examples = [ContactExamples.load(path) for path in arguments.examples]
    network, curve = train_contacts(examples, recipe)
    figures = {split: evaluated(network, examples, split) for split in SPLITS}
    logger.info("%s", figures)
    description = {
        "kind": "contacts of the soles",
        "config": asdict(network.config),
        "recipe": asdict(recipe),
        "figures": figures,
        "curve": curve,
    }
    write_weights(arguments.output, network.state_dict(), description)


if __name__ == "__main__":
    main()
