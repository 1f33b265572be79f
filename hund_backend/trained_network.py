"""Trained networks: weights with their description beside them as JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from safetensors.torch import load_file
from torch import nn

from .weights_file import load_weights

Network = TypeVar("Network", bound=nn.Module)


def load_network(
    label: str, path: Path, build: Callable[[dict[str, Any]], Network]
) -> tuple[Network, dict[str, Any]]:
    """Read trained weights and their description.

    Args:
        label: what the weights are, with a capital letter.
        path: of the weights.
        build: makes a network from the description's config.

    Returns:
        The network, ready for use, and the description.

    Raises:
        BadInputError: a file is missing or damaged.
    """
    with load_weights(label, path):
        description = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        network = build(description["config"])
        weights = load_file(path)
        network.load_state_dict({name: values.float() for name, values in weights.items()})
    return network.eval().requires_grad_(False), description
