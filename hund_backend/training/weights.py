"""Weights as they ship: tensors in safetensors, and beside them in JSON what they are."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor


def write_weights(
    path: Path,
    tensors: dict[str, Tensor],
    description: dict[str, object],
    precision: torch.dtype = torch.float32,
) -> None:
    """Write weights and their description, with the hash of the weights."""
    aside = path.with_name(path.name + ".part")
    save_file({name: _plain(values, precision) for name, values in tensors.items()}, aside)
    aside.chmod(0o644)  # safetensors makes files that only their owner reads
    sha256 = hashlib.sha256(aside.read_bytes()).hexdigest()
    aside.replace(path)
    text = json.dumps(description | {"sha256": sha256}, indent=2)
    path.with_suffix(".json").write_text(text + "\n")


def _plain(values: Tensor, precision: torch.dtype) -> Tensor:
    values = values.detach().cpu().contiguous()
    return values.to(precision) if values.is_floating_point() else values
