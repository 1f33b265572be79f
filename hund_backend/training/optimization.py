"""Optimization loop of all recipes: learning rate, early stopping, checkpoints."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ..atomic_write import write_file
from .checkpoint import load_checkpoint, save_checkpoint
from .processes import Processes

Curve = list[dict[str, Any]]  # one point an evaluation, in the order of the steps


@runtime_checkable
class Recipe(Protocol):
    """Settings of the optimization."""

    steps: int
    rate: float  # highest learning rate
    decay: float  # of the weights (AdamW)
    clip: float  # largest norm of the gradient
    every: int  # steps between evaluations


class EarlyStopping:
    """The weights of the best evaluation, and the number of evaluations since."""

    def __init__(self, model: nn.Module, patience: int) -> None:
        self.model, self.patience = model, patience
        self.best, self.waited = -math.inf, 0
        self.weights = self._current()

    @property
    def should_stop(self) -> bool:
        """Whether the last `patience` evaluations were no better than one before them."""
        return self.waited >= self.patience

    def update(self, score: float) -> None:
        """Take the score of the current weights; higher is better."""
        self.waited += 1
        if score > self.best:
            self.best, self.waited, self.weights = score, 0, self._current()

    def restore(self) -> None:
        """Give the model its best weights."""
        self.model.load_state_dict(self.weights)

    def _current(self) -> dict[str, Tensor]:
        weights = self.model.state_dict()
        return {name: values.clone().contiguous() for name, values in weights.items()}


def optimize(
    model: nn.Module,
    step_loss: Callable[[], tuple[Float[Tensor, ""], float]],
    evaluate: Callable[[int, float], tuple[dict[str, Any], float]],
    recipe: Recipe,
    generator: torch.Generator,
    checkpoint: Path | None = None,
    *,
    patience: int | None = None,
    warmup: float = 0.02,
    processes: Processes | None = None,
) -> Curve:
    """Train a model in place with AdamW.

    Args:
        model: to train.
        step_loss: loss of the next batch, and the value whose mean goes to the curve.
        evaluate: point of the curve and the score of the weights (higher is better), given the
            step and the mean of the values of `step_loss` since the last evaluation.
        recipe: settings.
        generator: of the batches' random numbers; part of the checkpoint.
        checkpoint: file to resume from if it exists, written at every evaluation. The best weights
            are in a file beside it that ends in `.best`.
        patience: evaluations without a better score after which the training ends, with the best
            weights; without it all steps are taken and the last weights stay.
        warmup: share of the steps over which the learning rate rises.
        processes: that share the training; then `step_loss` gives this one's part of the loss and
            of the value. The first one writes the checkpoints.

    Returns:
        The points of all evaluations.
    """
    processes = processes or Processes()
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    stopping = None if patience is None else EarlyStopping(model, patience)
    step, curve, total = 0, [], 0.0
    if checkpoint is not None and checkpoint.exists():
        progress = load_checkpoint(checkpoint, model, optimizer, generator)
        step, curve = progress["step"], progress["curve"]
        if stopping is not None:
            stopping.best, stopping.waited = progress["best"], progress["waited"]
            stopping.weights = load_file(checkpoint.with_suffix(".best"))
    while step < recipe.steps and not (stopping is not None and stopping.should_stop):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * rate_factor(step / recipe.steps, warmup)
        loss, value = step_loss()
        optimizer.zero_grad()
        loss.backward()
        value = processes.sum_gradients(model, value)
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        total += value
        step += 1
        if step % recipe.every:
            continue
        point, score = evaluate(step, total / recipe.every)
        curve.append(point)
        total = 0.0
        progress = {"step": step, "curve": curve}
        if stopping is not None:
            stopping.update(score)
            progress |= {"best": stopping.best, "waited": stopping.waited}
        if checkpoint is not None and processes.is_first:
            if stopping is not None:
                write_file(checkpoint.with_suffix(".best"), save(stopping.weights))
            save_checkpoint(checkpoint, model, optimizer, generator, progress)
    if stopping is not None:
        stopping.restore()
    return curve


def rate_factor(share: float, warmup: float = 0.02) -> float:
    """Factor of the learning rate: a short linear rise, then a cosine down to zero.

    Args:
        share: of the steps that are done, 0…1.
        warmup: share of the steps until the full rate is reached.
    """
    return min(1.0, share / warmup) * 0.5 * (1 + math.cos(math.pi * share)) + 1e-3
