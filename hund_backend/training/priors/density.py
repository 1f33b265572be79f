"""Training of a density over the 6D representation of poses, whatever model it is."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save
from torch import Tensor, nn

from hund_backend.prior.augmented_sixd import NUM_MIXING, rotations_to_sixd
from hund_backend.prior.pose_flow import FlowConfig, PoseFlow

from ...atomic_write import write_file
from ..checkpoint import load_checkpoint, save_checkpoint
from ..schedule import rate_factor

logger = logging.getLogger(__name__)
Pose = Float[Tensor, "batch joints 3 3"]


@dataclass(frozen=True, kw_only=True)
class FlowRecipe:
    """How a flow is trained."""

    kind: str = "light"
    layers: int = 10
    hidden: int = 128  # of the couplings' networks; the light flow has none
    max_slope: float = 0.4  # bend of the light flow's lines
    steps: int = 3000
    batch: int = 512
    rate: float = 1e-3
    decay: float = 1e-4
    clip: float = 20.0  # of the gradient's norm
    every: int = 250  # steps from one look at the validation poses to the next
    patience: int = 8  # looks without a better value after which the training ends
    whitened: int = 40_000  # poses from which the fixed first layer is made
    seed: int = 0


@runtime_checkable
class Stream(Protocol):
    """Poses to learn from, without end."""

    def draw(self, count: int, generator: torch.Generator) -> Pose:
        """So many poses."""


def fit(
    joints: tuple[str, ...],
    stream: Stream,
    validation: Pose,
    recipe: FlowRecipe,
    checkpoint: Path | None = None,
) -> tuple[PoseFlow, list[dict[str, int | float]]]:
    """A trained flow over some joints, and its curve; arguments as of `train`."""
    config = FlowConfig(
        joints=joints,
        kind=recipe.kind,
        layers=recipe.layers,
        hidden=recipe.hidden,
        max_slope=recipe.max_slope,
    )
    flow = PoseFlow(config)
    curve = train(flow, lambda sixd: flow.encode(sixd)[1], stream, validation, recipe, checkpoint)
    return flow.eval().requires_grad_(False), curve


def train(
    model: nn.Module,
    log_density: Callable[[Float[Tensor, "batch features"]], Float[Tensor, " batch"]],
    stream: Stream,
    validation: Pose,
    recipe: FlowRecipe,
    checkpoint: Path | None = None,
) -> list[dict[str, int | float]]:
    """Train a density over 6D representations; leaves the weights of the best validation.

    Args:
        model: with `joints`, `config.mixing_std` and `fit_whitening`, as PoseFlow.
        log_density: log p of 6D representations under the model.
        stream: of the poses to learn from.
        validation: poses by which the best weights are chosen.
        recipe: how.
        checkpoint: file to go on from, if it is there, and to write at every look.

    Returns:
        the curve: step, training and validation value, nats per dimension of 6D.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    mixing_std, features = model.config.mixing_std, 6 * len(model.joints)

    def batch(count: int) -> Float[Tensor, "count features"]:
        return augmented(stream.draw(count, generator), model.joints, mixing_std, generator)

    model.fit_whitening(batch(recipe.whitened))
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    progress: dict = {"step": 0, "curve": [], "best": -float("inf"), "waited": 0}
    best = {name: values.clone() for name, values in model.state_dict().items()}
    if checkpoint is not None and checkpoint.exists():
        progress = load_checkpoint(checkpoint, model, optimizer, generator)
        best = load_file(checkpoint.with_suffix(".best"))
    shown = augmented(validation, model.joints, mixing_std, torch.Generator().manual_seed(0))
    total = 0.0
    while progress["step"] < recipe.steps and progress["waited"] < recipe.patience:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * rate_factor(progress["step"] / recipe.steps)
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
            write_file(checkpoint.with_suffix(".best"), save(best))
            save_checkpoint(checkpoint, model, optimizer, generator, progress)
    model.load_state_dict(best)
    return progress["curve"]


def augmented(
    pose: Pose, joints: tuple[int, ...], mixing_std: float, generator: torch.Generator
) -> Float[Tensor, "batch features"]:
    """6D representations whose three forgotten freedoms are drawn anew."""
    rotations = pose[:, joints]
    mixing = torch.randn(*rotations.shape[:2], NUM_MIXING, generator=generator)
    return rotations_to_sixd(rotations, mixing_std * mixing)
