"""Training of densities over the 6D representation of poses, whatever the model is."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...prior.augmented_sixd import NUM_MIXING, rotations_to_sixd
from ...prior.pose_flow import FlowConfig, PoseFlow
from ..optimization import Curve, optimize

logger = logging.getLogger(__name__)
Pose = Float[Tensor, "batch joints 3 3"]


@dataclass(frozen=True, kw_only=True)
class FlowRecipe:
    """Training of a flow."""

    kind: str = "light"
    layers: int = 10
    hidden: int = 128  # units of the couplings' networks; the light flow has none
    max_slope: float = 0.4  # of the light flow's activations
    steps: int = 3000
    batch: int = 512
    rate: float = 1e-3
    decay: float = 1e-4
    clip: float = 20.0  # largest norm of the gradient
    every: int = 250  # steps between evaluations
    patience: int = 8  # evaluations without a better one after which the training ends
    whitening_poses: int = 40_000  # poses from which the fixed first layer is computed
    seed: int = 0


@runtime_checkable
class PoseSampler(Protocol):
    """Source of training poses."""

    def draw(self, count: int, generator: torch.Generator) -> Pose:
        """Draw poses."""


def train_flow(
    joints: tuple[str, ...],
    sampler: PoseSampler,
    validation: Pose,
    recipe: FlowRecipe,
    checkpoint: Path | None = None,
    initial: PoseFlow | None = None,
) -> tuple[PoseFlow, Curve]:
    """Return a trained flow over some joints, and its curve; arguments as of `train_density`.

    An initial flow of the recipe's sizes is trained further and keeps its whitening, so that its
    latents mean nearly the same afterwards.
    """
    config = FlowConfig(
        joints=joints,
        kind=recipe.kind,
        layers=recipe.layers,
        hidden=recipe.hidden,
        max_slope=recipe.max_slope,
    )
    flow = PoseFlow(config)
    if initial is not None:
        flow.load_state_dict(initial.state_dict())
    curve = train_density(
        flow,
        lambda sixd: flow.encode(sixd)[1],
        sampler,
        validation,
        recipe,
        checkpoint,
        whiten=initial is None,
    )
    return flow.eval().requires_grad_(False), curve


def train_density(
    model: nn.Module,
    log_density: Callable[[Float[Tensor, "batch features"]], Float[Tensor, " batch"]],
    sampler: PoseSampler,
    validation: Pose,
    recipe: FlowRecipe,
    checkpoint: Path | None = None,
    *,
    whiten: bool = True,
) -> Curve:
    """Train a density over 6D representations by maximum likelihood.

    The model ends with the weights of the best validation.

    Args:
        model: with `joints`, `config.mixing_std` and `fit_whitening`, as PoseFlow.
        log_density: log p of 6D representations under the model.
        sampler: source of the training poses.
        validation: poses by which the best weights are chosen.
        recipe: settings.
        checkpoint: file to resume from if it exists, written at every evaluation.
        whiten: fit the model's whitening before the first step.

    Returns:
        The curve: step, training and validation log-likelihood, nats per dimension of 6D.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    mixing_std, features = model.config.mixing_std, 6 * len(model.joints)

    def batch(count: int) -> Float[Tensor, "count features"]:
        return add_mixing(sampler.draw(count, generator), model.joints, mixing_std, generator)

    if whiten:
        model.fit_whitening(batch(recipe.whitening_poses))
    validation_sixd = add_mixing(
        validation, model.joints, mixing_std, torch.Generator().manual_seed(0)
    )

    def step_loss() -> tuple[Float[Tensor, ""], float]:
        loss = -log_density(batch(recipe.batch)).mean() / features
        return loss, -loss.item()

    @torch.no_grad()
    def evaluate(step: int, train: float) -> tuple[dict[str, Any], float]:
        value = float(log_density(validation_sixd).mean()) / features
        point = {"step": step, "train": train, "validation": value}
        logger.info("%6d  train %.4f  validation %.4f", *point.values())
        return point, value

    return optimize(
        model, step_loss, evaluate, recipe, generator, checkpoint, patience=recipe.patience
    )


def add_mixing(
    pose: Pose, joints: tuple[int, ...], mixing_std: float, generator: torch.Generator
) -> Float[Tensor, "batch features"]:
    """6D representations of poses, with random values for the freedoms that a rotation lacks."""
    rotations = pose[:, joints]
    mixing = torch.randn(*rotations.shape[:2], NUM_MIXING, generator=generator)
    return rotations_to_sixd(rotations, mixing_std * mixing)
