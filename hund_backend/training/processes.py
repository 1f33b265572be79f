"""Processes: a training that is shared by several of them, started by torch's own `torchrun`.

All draw the same batches from the same random numbers, each computes the gradient of its share, and
the sum of these gradients is that of the whole batch. So weights, their optimizer and the curve are
the same in all processes and, up to the order of sums, those of a training in one process; a
checkpoint of one resumes with any other number.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, distributed, nn


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process among those that share a training; alone by default."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def rows(self, batch: int) -> Int[Tensor, " rows"]:
        """Rows of a batch that are this process's share: every so many-th, of all kinds alike."""
        return torch.arange(self.rank, batch, self.count)

    def weigh(self, loss: Float[Tensor, ""], batch: int) -> Float[Tensor, ""]:
        """Mean over this process's rows as its part of the mean over the batch."""
        return loss if self.count == 1 else loss * (len(self.rows(batch)) / batch)

    def sum_gradients(self, model: nn.Module, value: float) -> float:
        """Give all processes the sum of their gradients, and return that of their values.

        A parameter that has no part in any process's loss has no gradient, as in one process:
        with one of zeros, the optimizer would let it decay.
        """
        if self.count == 1:
            return value
        parameters = [each for each in model.parameters() if each.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        used = [gradients[0].new_tensor(float(p.grad is not None)) for p in parameters]
        parts = [*(each.flatten() for each in gradients), torch.stack(used)]
        # In float64, so that a share of the value is as exact as the whole.
        total = torch.tensor([value], dtype=torch.float64, device=gradients[0].device)
        flat = torch.cat(parts)
        distributed.all_reduce(flat)
        distributed.all_reduce(total)
        *summed, is_used = flat.split([len(part) for part in parts])
        for parameter, gradient, used_by in zip(parameters, summed, is_used, strict=True):
            parameter.grad = gradient.view_as(parameter) if used_by > 0 else None
        return float(total)


@contextmanager
def processes_of(device: str) -> Iterator[tuple[Processes, str]]:
    """Join the processes that torchrun started; this one alone without it.

    Args:
        device: "cpu", or "cuda" for one GPU a process.

    Yields:
        This process among them, and the device that it computes on.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield Processes(), device
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Processes(rank=distributed.get_rank(), count=distributed.get_world_size()), device
    finally:
        distributed.destroy_process_group()
