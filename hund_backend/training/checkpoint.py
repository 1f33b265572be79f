"""Checkpoints: state of a training, from which it resumes as if it had not been interrupted."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..atomic_write import write_file

GENERATOR = "generator"


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    progress: dict[str, object],
) -> None:
    """Write model, optimizer, random number generator and progress (JSON) atomically."""
    tensors = {f"model.{name}": values for name, values in model.state_dict().items()}
    state = optimizer.state_dict()
    for index, entries in state["state"].items():
        tensors |= {f"optimizer.{index}.{name}": entry for name, entry in entries.items()}
    tensors[GENERATOR] = generator.get_state()
    notes = {"groups": state["param_groups"], "progress": progress}
    tensors = {name: values.detach().clone().contiguous() for name, values in tensors.items()}
    write_file(path, save(tensors, metadata={"notes": json.dumps(notes)}))


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> dict[str, object]:
    """Restore what `save_checkpoint` wrote.

    Returns:
        The progress.
    """
    entries: dict[int, dict[str, Tensor]] = {}
    weights: dict[str, Tensor] = {}
    with safe_open(path, framework="pt") as file:
        notes = json.loads(file.metadata()["notes"])
        for key in file.keys():  # noqa: SIM118 - it is no dictionary
            if key.startswith("model."):
                weights[key.removeprefix("model.")] = file.get_tensor(key)
            elif key.startswith("optimizer."):
                _, index, name = key.split(".", 2)
                entries.setdefault(int(index), {})[name] = file.get_tensor(key)
            else:
                generator.set_state(file.get_tensor(key))
    model.load_state_dict(weights)
    optimizer.load_state_dict({"state": entries, "param_groups": notes["groups"]})
    return notes["progress"]
