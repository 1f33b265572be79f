"""Shipped weights: tensors in safetensors, and their description in JSON beside them."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from ..atomic_write import atomic_write


def write_weights(
    path: Path,
    tensors: dict[str, Tensor],
    description: dict[str, object],
    precision: torch.dtype = torch.float32,
) -> None:
    """Write weights and, beside them, their description with the hash of the weights.

    Raises:
        BadInputError: the folder cannot be written to, or the disk is full.
    """
    content = save({name: _to_cpu(values, precision) for name, values in tensors.items()})
    description_with_hash = description | {"sha256": hashlib.sha256(content).hexdigest()}
    with atomic_write(path, path.with_suffix(".json")) as [weights, text]:
        weights.write_bytes(content)
        text.write_text(json.dumps(description_with_hash, indent=2) + "\n")


def _to_cpu(values: Tensor, precision: torch.dtype) -> Tensor:
    values = values.detach().cpu().contiguous()
    return values.to(precision) if values.is_floating_point() else values
