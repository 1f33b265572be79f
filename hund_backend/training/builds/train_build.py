"""Recipe of the build network.

`python -m hund_backend.training.builds.train_build SAMPLES`, with the folder that `samples` fills.
"""

import argparse
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...descent.build.estimator import is_usable
from ...descent.build.network import NUM_ESTIMATED, WEIGHTS_FILE, BuildNetwork, Posterior
from ...descent.build.outline import Outlines
from ..motion.motion_set import Split
from ..optimization import Curve, optimize
from ..weights import write_weights
from .samples import EXACT, FOUND, BuildSamples

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BuildRecipe:
    """Training of the build network."""

    steps: int = 3000
    batch: int = 256
    rate: float = 1e-3
    decay: float = 1.0
    clip: float = 5.0
    every: int = 50
    patience: int = 20
    noise: float = 0.2  # of the features, in their deviations
    seed: int = 0


def usable(samples: BuildSamples) -> BuildSamples:
    """Samples that a job would use."""
    return samples.select(is_usable(samples.outlines).nonzero()[:, 0])


def training_samples(folder: Path) -> BuildSamples:
    """Samples with BlazePose's masks, and with exact ones, broadened like those.

    BlazePose draws people a cell broader than they are; exact masks get its mean ratios.
    """
    found, exact = (usable(BuildSamples.read(folder, "train", masks)) for masks in (FOUND, EXACT))
    excess = _mean_ratios(found.outlines) - _mean_ratios(exact.outlines)
    ratios = (exact.outlines.ratios + excess) * exact.outlines.valid
    outlines = [found.outlines, replace(exact.outlines, ratios=ratios)]
    return BuildSamples(
        outlines=Outlines.concatenated(outlines), betas=torch.cat((found.betas, exact.betas))
    )


def _mean_ratios(outlines: Outlines) -> Float[Tensor, " lines"]:
    return outlines.ratios.sum(0) / outlines.valid.sum(0).clamp(min=1)


def train_build(
    train: BuildSamples, validation: BuildSamples, recipe: BuildRecipe
) -> tuple[BuildNetwork, Curve]:
    """Train the network; the best on the validation samples is returned."""
    torch.manual_seed(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    network = BuildNetwork()
    vectors = torch.cat((train.outlines.vectors(), train.outlines.mirrored().vectors()))
    betas = train.betas.repeat(2, 1)
    network.mean.copy_(vectors.mean(0))
    network.scale.copy_(vectors.std(0).clamp(min=1e-3))

    def step_loss() -> tuple[Tensor, float]:
        chosen = torch.randint(len(vectors), (recipe.batch,), generator=generator)
        network.train()
        loss = log_loss(network(vectors[chosen], recipe.noise), betas[chosen])
        return loss, float(loss.detach())

    def evaluate(step: int, mean: float) -> tuple[dict[str, Any], float]:
        figures = evaluated(network.eval(), validation)
        point = {"step": step, "train": mean} | figures
        logger.info("%s", point)
        return point, -figures["loss"]

    curve = optimize(network, step_loss, evaluate, recipe, generator, patience=recipe.patience)
    return network.eval().requires_grad_(False), curve


def log_loss(posterior: Posterior, betas: Float[Tensor, "samples 16"]) -> Float[Tensor, ""]:
    """Negative log-likelihood of the true first betas, but for a constant."""
    errors = (betas[:, :NUM_ESTIMATED] - posterior.mean).square() * (-posterior.log_variance).exp()
    return 0.5 * (errors + posterior.log_variance).sum(1).mean()


@torch.no_grad()
def evaluated(network: BuildNetwork, samples: BuildSamples) -> dict[str, Any]:
    """Loss, and root mean square errors of the first betas, by what a job would expect."""
    information = network.information(samples.outlines)
    precision = 1 + information.precision[:, :NUM_ESTIMATED]
    mean = information.weighted[:, :NUM_ESTIMATED] / precision
    true = samples.betas[:, :NUM_ESTIMATED]
    errors, everybody = ((true - each).square().mean(0).sqrt() for each in (mean, 0 * mean))
    return {
        "loss": float(log_loss(Posterior(mean, -precision.log()), samples.betas)),
        "errors": errors.tolist(),
        "errors_of_mean_body": everybody.tolist(),
        "samples": len(samples),
    }


def main() -> None:
    """Train on samples and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("samples", type=Path, help="folder that samples.py fills")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--steps", type=int, default=BuildRecipe.steps)
    parser.add_argument("--seed", type=int, default=BuildRecipe.seed)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    recipe = BuildRecipe(steps=arguments.steps, seed=arguments.seed)
    splits: tuple[Split, ...] = ("validation", "held_out")
    others = {
        split: usable(BuildSamples.read(arguments.samples, split, FOUND)) for split in splits
    }
    network, curve = train_build(training_samples(arguments.samples), others["validation"], recipe)
    figures = {split: evaluated(network, samples) for split, samples in others.items()}
    logger.info("%s", figures)
    description = {
        "kind": "build of a person from outlines",
        "config": asdict(network.config),
        "recipe": asdict(recipe),
        "figures": figures,
        "curve": curve,
    }
    write_weights(arguments.output, network.state_dict(), description)


if __name__ == "__main__":
    main()
