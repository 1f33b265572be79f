"""Weights as they ship: tensors in safetensors, and beside them in JSON what they are."""

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
    content = save({name: _plain(values, precision) for name, values in tensors.items()})
    described = description | {"sha256": hashlib.sha256(content).hexdigest()}
    with atomic_write(path, path.with_suffix(".json")) as [weights, text]:
        weights.write_bytes(content)
        text.write_text(json.dumps(described, indent=2) + "\n")


def _plain(values: Tensor, precision: torch.dtype) -> Tensor:
    values = values.detach().cpu().contiguous()
    return values.to(precision) if values.is_floating_point() else values
