"""What executes a network: torch anywhere, ONNX Runtime on the CPU (docs/decisions/0003)."""

import os
from pathlib import Path
from typing import Protocol, runtime_checkable

# ONNX Runtime reports home and keeps a database in the user's cache unless this is set before it
# is loaded; we use no network and write nothing outside our folders.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnxruntime
import torch
from jaxtyping import Float32

from .graph import PICTURE, Network, load_network
from .manifest import verified


@runtime_checkable
class Engine(Protocol):
    """A network ready for use: pictures in, named arrays out."""

    def __call__(
        self,
        pictures: Float32[np.ndarray, "batch channels height width"],
        outputs: tuple[str, ...],
    ) -> dict[str, np.ndarray]:
        """The network's outputs of those names."""


class TorchEngine:
    """Executes a network with torch on any device."""

    def __init__(self, network: Network, device: str) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(
        self,
        pictures: Float32[np.ndarray, "batch channels height width"],
        outputs: tuple[str, ...],
    ) -> dict[str, np.ndarray]:
        """The network's outputs of those names."""
        batch = torch.from_numpy(pictures).to(self.device, memory_format=torch.channels_last)
        made = self.network(batch)
        return {name: made[name].contiguous().cpu().numpy() for name in outputs}


class OnnxEngine:
    """Executes a network with ONNX Runtime on the CPU."""

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Its threads sleep between operations: spinning ones would take the cores from the
        # decoder and the fit, and halve the speed on a machine that is busy with something else.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )

    def __call__(
        self,
        pictures: Float32[np.ndarray, "batch channels height width"],
        outputs: tuple[str, ...],
    ) -> dict[str, np.ndarray]:
        """The network's outputs of those names."""
        made = self.session.run(list(outputs), {PICTURE: pictures})
        return dict(zip(outputs, made, strict=True))


def open_engine(folder: Path, name: str, device: str) -> Engine:
    """The fastest engine for a network on a device; BadInputError if its files are not whole.

    Args:
        folder: the folder of networks.
        name: of the network: its file without the suffix.
        device: "cpu", "cuda", "cuda:1" …
    """
    weights = verified(folder, f"{name}.safetensors")
    if device != "cpu":
        return TorchEngine(load_network(weights), device)
    return OnnxEngine(verified(folder, f"{name}.onnx"), torch.get_num_threads())
