"""What executes a network: torch."""

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float32

from .graph import Network, load_network


class Engine(Protocol):
    """A network ready for use: pictures in, named arrays out."""

    def __call__(
        self,
        pictures: Float32[np.ndarray, "batch channels height width"],
        taps: tuple[str, ...] = (),
    ) -> dict[str, np.ndarray]:
        """Outputs by meaning, and the inner tensors named in `taps`."""


class TorchEngine:
    """Executes a network with torch on any device."""

    def __init__(self, network: Network, device: str) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(
        self,
        pictures: Float32[np.ndarray, "batch channels height width"],
        taps: tuple[str, ...] = (),
    ) -> dict[str, np.ndarray]:
        """Outputs by meaning, and the inner tensors named in `taps`."""
        batch = torch.from_numpy(pictures).to(self.device, memory_format=torch.channels_last)
        outputs = self.network(batch, taps)
        return {name: tensor.float().cpu().numpy() for name, tensor in outputs.items()}


def open_engine(path: Path, device: str) -> Engine:
    """The fastest engine for a network on a device ("cpu", "cuda", "cuda:1" …)."""
    return TorchEngine(load_network(path), device)
