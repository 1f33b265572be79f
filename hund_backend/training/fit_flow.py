"""Recipe of the pose flow: `python -m hund_backend.training.fit_flow MOCAP_FOLDER`."""

import argparse
import json
import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hund_backend.prior.augmented_sixd import FREEDOMS, sixd_of
from hund_backend.prior.gaussian import GaussianPrior
from hund_backend.prior.pose_flow import WEIGHTS_FILE, FlowConfig, PoseFlow

from .augmentation import Augmentation, AugmentationConfig
from .checkpoint import load_checkpoint, save_checkpoint
from .motion_set import MotionSet, motion_set
from .weights import write_weights

logger = logging.getLogger(__name__)
Pose = Float[Tensor, "batch joints 3 3"]


@dataclass(frozen=True, kw_only=True)
class FlowRecipe:
    """How a flow is trained."""

    kind: str = "light"
    layers: int = 6
    hidden: int = 128
    steps: int = 6000
    batch: int = 512
    rate: float = 1e-3
    decay: float = 1e-4
    clip: float = 20.0  # of the gradient's norm
    every: int = 250  # steps from one look at the validation split to the next
    patience: int = 8  # looks without a better value after which the training ends
    whitened: int = 40_000  # poses from which the fixed first layer is made
    rarest: float = 4.0  # times as often as a common one is a rare pose shown
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    seed: int = 0


class PoseStream:
    """Batches of poses without end: rare ones more often, each changed by chance."""

    def __init__(self, poses: MotionSet, recipe: FlowRecipe) -> None:
        used = poses.frames_of("train")
        self.poses = poses.rotations[used, 1:]
        self.weights = poses.weights()[used] * _rarity(self.poses, recipe.rarest)
        self.augment = Augmentation(recipe.augmentation)

    def draw(self, count: int, generator: torch.Generator) -> Pose:
        """So many changed poses."""
        picks = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        return self.augment(self.poses[picks], generator)


def augmented(
    pose: Pose, joints: tuple[int, ...], spread: float, generator: torch.Generator
) -> Float[Tensor, "batch features"]:
    """6D representations whose three forgotten freedoms are drawn anew."""
    rotations = pose[:, joints]
    mixing = torch.randn(*rotations.shape[:2], FREEDOMS, generator=generator)
    return sixd_of(rotations, spread * mixing)


def dequantized(pose: Pose, config: AugmentationConfig, seed: int = 0) -> Pose:
    """Poses with the noise of training and no other change, the same for every model."""
    still = replace(config, recombined=0.0, stirred=0.0)
    return Augmentation(still)(pose, torch.Generator().manual_seed(seed))


def train(
    model: nn.Module,
    log_density: Callable[[Float[Tensor, "batch features"]], Float[Tensor, " batch"]],
    poses: MotionSet,
    recipe: FlowRecipe,
    checkpoint: Path | None = None,
) -> list[dict[str, float]]:
    """Train a density over 6D representations; leaves the weights of the best validation.

    Args:
        model: with `joints`, `config.spread` and `whiten`, as PoseFlow.
        log_density: log p of 6D representations under the model.
        poses: where the training and the validation poses come from.
        recipe: how.
        checkpoint: file to go on from, if it is there, and to write at every look.

    Returns:
        the curve: step, training and validation value, nats per dimension of 6D.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    stream = PoseStream(poses, recipe)
    spread, features = model.config.spread, 6 * len(model.joints)

    def batch(count: int) -> Float[Tensor, "count features"]:
        return augmented(stream.draw(count, generator), model.joints, spread, generator)

    model.whiten(batch(recipe.whitened))
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    progress: dict = {"step": 0, "curve": [], "best": -float("inf"), "waited": 0}
    best = {name: values.clone() for name, values in model.state_dict().items()}
    if checkpoint is not None and checkpoint.exists():
        progress = load_checkpoint(checkpoint, model, optimizer, generator)
        best = load_file(checkpoint.with_suffix(".best"))
    shown = _validation(poses, model, recipe)
    total = 0.0
    while progress["step"] < recipe.steps and progress["waited"] < recipe.patience:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * _schedule(progress["step"] / recipe.steps)
        loss = -log_density(batch(recipe.batch)).mean() / features
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        total += -loss.item()
        progress["step"] += 1
        if progress["step"] % recipe.every:
            continue
        with torch.no_grad():
            value = float(log_density(shown).mean()) / features
        point = {"step": progress["step"], "train": total / recipe.every, "validation": value}
        progress["curve"].append(point)
        logger.info("%6d  train %.4f  validation %.4f", *point.values())
        total, progress["waited"] = 0.0, progress["waited"] + 1
        if value > progress["best"]:
            progress |= {"best": value, "waited": 0}
            best = {name: values.clone() for name, values in model.state_dict().items()}
        if checkpoint is not None:
            save_file(best, checkpoint.with_suffix(".best"))
            save_checkpoint(checkpoint, model, optimizer, generator, progress)
    model.load_state_dict(best)
    return progress["curve"]


def fit(
    poses: MotionSet, recipe: FlowRecipe, checkpoint: Path | None = None
) -> tuple[PoseFlow, list[dict[str, float]]]:
    """A trained flow over the joints of the Gaussian prior, and its curve."""
    config = FlowConfig(
        joints=GaussianPrior.load().joint_names,
        kind=recipe.kind,
        layers=recipe.layers,
        hidden=recipe.hidden,
    )
    flow = PoseFlow(config)
    curve = train(flow, lambda sixd: flow.encode(sixd)[1], poses, recipe, checkpoint)
    return flow.eval().requires_grad_(False), curve


def report(prior: PoseFlow, poses: MotionSet, recipe: FlowRecipe) -> dict[str, float]:
    """Figures of the model card, of poses with the noise of training."""
    figures: dict[str, float] = {}
    for split in ("train", "validation", "held_out"):
        pose = poses.rotations[poses.frames_of(split), 1:][::3]
        pose = dequantized(pose, recipe.augmentation)
        dimensions = 3 * len(prior.joints)
        figures[f"{split}_frames"] = int(poses.frames_of(split).sum())
        figures[f"{split}_nats_per_dimension"] = float(prior.log_prob(pose).mean()) / dimensions
        figures[f"{split}_energy_per_dimension"] = float(prior.energy(pose).mean()) / dimensions
    return figures


def _rarity(pose: Pose, most: float) -> Float[Tensor, " frames"]:
    """How often to show each pose: by its squared distance from the Gaussian's mean."""
    prior = GaussianPrior.load()
    square = prior.latent(pose).square().mean(-1)
    return square.clamp(max=most * float(square.median()))


def _schedule(share: float) -> float:
    """Factor of the learning rate: a short rise, then a cosine down to nothing."""
    return min(1.0, share / 0.02) * 0.5 * (1 + math.cos(math.pi * share)) + 1e-3


def _validation(
    poses: MotionSet, model: nn.Module, recipe: FlowRecipe
) -> Float[Tensor, "frames features"]:
    pose = dequantized(poses.rotations[poses.frames_of("validation"), 1:], recipe.augmentation)
    generator = torch.Generator().manual_seed(0)
    return augmented(pose, model.joints, model.config.spread, generator)


def main() -> None:
    """Train a flow on a folder of packs and write it into the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--kind", choices=("light", "realnvp", "spline"), default=FlowRecipe.kind)
    parser.add_argument("--layers", type=int, default=FlowRecipe.layers)
    parser.add_argument("--hidden", type=int, default=FlowRecipe.hidden)
    parser.add_argument("--steps", type=int, default=FlowRecipe.steps)
    parser.add_argument("--seed", type=int, default=FlowRecipe.seed)
    parser.add_argument("--checkpoint", type=Path, help="goes on from this file if it is there")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe = FlowRecipe(
        kind=chosen.kind,
        layers=chosen.layers,
        hidden=chosen.hidden,
        steps=chosen.steps,
        seed=chosen.seed,
    )
    logger.info("%s", recipe)
    poses = motion_set(chosen.folder)
    flow, curve = fit(poses, recipe, chosen.checkpoint)
    figures = report(flow, poses, recipe)
    description = {
        "kind": "pose flow",
        "config": asdict(flow.config),
        "recipe": asdict(recipe),
        "figures": figures,
        "curve": curve,
    }
    write_weights(chosen.output, flow.state_dict(), description)
    logger.info("%s", json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
