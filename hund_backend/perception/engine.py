"""Inference engines: torch on any device, ONNX Runtime on the CPU (docs/decisions/0003)."""

import os
from pathlib import Path
from typing import Protocol, runtime_checkable

# ONNX Runtime sends telemetry and keeps a database in the user's cache unless this is set before
# it is loaded. We use no network and write nothing outside our folders.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnxruntime
import torch
from jaxtyping import Float32, UInt8

from .graph import INPUT, Network, load_network
from .manifest import verified_path

MAX_BATCH = 16  # crops at once: memory grows with them


@runtime_checkable
class Engine(Protocol):
    """A network ready for use: batch of images in, named arrays out."""

    def __call__(
        self,
        images: Float32[np.ndarray, "batch channels height width"],
        outputs: tuple[str, ...],
    ) -> dict[str, np.ndarray]:
        """Return the network's outputs of the given names."""


class TorchEngine:
    """Executes a network with torch on any device."""

    def __init__(self, network: Network, device: str) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(
        self,
        images: Float32[np.ndarray, "batch channels height width"],
        outputs: tuple[str, ...],
    ) -> dict[str, np.ndarray]:
        """Return the network's outputs of the given names."""
        batch = torch.from_numpy(images).to(self.device, memory_format=torch.channels_last)
        tensors = self.network(batch)
        return {name: tensors[name].contiguous().cpu().numpy() for name in outputs}


class OnnxEngine:
    """Executes a network with ONNX Runtime on the CPU."""

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that spin between operations would take the cores from the decoder and the fit,
        # and halve the speed on a busy machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )

    def __call__(
        self,
        images: Float32[np.ndarray, "batch channels height width"],
        outputs: tuple[str, ...],
    ) -> dict[str, np.ndarray]:
        """Return the network's outputs of the given names."""
        arrays = self.session.run(list(outputs), {INPUT: images})
        return dict(zip(outputs, arrays, strict=True))


def open_engine(folder: Path, name: str, device: str) -> Engine:
    """Load a network into the fastest engine for a device.

    Args:
        folder: the folder of networks.
        name: of the network: its file without the suffix.
        device: "cpu", "cuda", "cuda:1" …

    Raises:
        BadInputError: a file of the network is missing or damaged.
    """
    weights = verified_path(folder, f"{name}.safetensors")
    if device != "cpu":
        return TorchEngine(load_network(weights), device)
    return OnnxEngine(verified_path(folder, f"{name}.onnx"), torch.get_num_threads())


def planes_of(
    images: UInt8[np.ndarray, "images height width 3"],
) -> Float32[np.ndarray, "images 3 height width"]:
    """Return images as networks read them: one plane a color, still from 0 to 255."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)


def batches_of(
    images: UInt8[np.ndarray, "images height width 3"],
) -> list[UInt8[np.ndarray, "batch height width 3"]]:
    """Divide images into batches of at most MAX_BATCH; of none there is one empty batch."""
    return [
        images[first : first + MAX_BATCH] for first in range(0, max(len(images), 1), MAX_BATCH)
    ]
