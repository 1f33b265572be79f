"""A pretrained network in our own form: a list of few kinds of operations, executed by torch.

The converters in `tools/` write this form, once, from what the networks' authors published
(.tflite, TensorFlow.js). A network is one safetensors file: its tensors in half precision wherever
that loses nothing, and the list of operations as JSON in the file's header. All pictures inside
are NCHW; every padding is explicit; activations belong to the operation they follow.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor, nn
from torch.nn import functional

from ..errors import BadInputError

FORMAT = "hund-graph/1"
PICTURE = "picture"  # name of the input tensor


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operation: what it reads, what it makes, and its numbers."""

    operation: str  # a key of OPERATIONS
    inputs: tuple[str, ...]
    output: str  # name of the tensor that it makes; also the prefix of its weights' names
    settings: dict  # keyword arguments of the operation's class


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A network without its weights."""

    input_shape: tuple[int, int, int]  # channels, height, width it was trained for
    nodes: tuple[Node, ...]
    outputs: dict[str, str]  # what the tensor means → name of the tensor

    def to_json(self) -> str:
        """The graph as text; the same graph always gives the same text."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Graph":
        """Read what `to_json` wrote; ValueError if it is something else."""
        fields = json.loads(text)
        if fields.pop("format", None) != FORMAT:
            raise ValueError(f"the graph should be in the format {FORMAT}")
        nodes = tuple(
            Node(**_with_tuples({**row, "settings": _with_tuples(row["settings"])}))
            for row in fields["nodes"]
        )
        shape = tuple(fields["input_shape"])
        return cls(input_shape=shape, nodes=nodes, outputs=fields["outputs"])


def _with_tuples(fields: dict) -> dict:
    """The fields with tuples where JSON knows only lists."""
    return {key: tuple(item) if isinstance(item, list) else item for key, item in fields.items()}


class _Convolution(nn.Module):
    """Convolution with explicit padding (left, right, top, bottom; zeros) and its activation."""

    def __init__(
        self,
        *,
        channels: tuple[int, int],
        kernel: tuple[int, int],
        stride: int,
        padding: tuple[int, int, int, int],
        groups: int,
        activation: str | None,
    ) -> None:
        super().__init__()
        into, out = channels
        self.register_buffer("weight", torch.empty(out, into // groups, *kernel))
        self.register_buffer("bias", torch.empty(out))
        self.stride, self.groups, self.padding = stride, groups, tuple(padding)
        self.activation = ACTIVATIONS[activation]

    def forward(self, features: Tensor) -> Tensor:
        left, right, top, bottom = self.padding
        inside = (top, left)  # what the convolution pads itself; a separate pad is a copy
        if (left, top) != (right, bottom):
            features, inside = functional.pad(features, self.padding), 0
        out = functional.conv2d(
            features, self.weight, self.bias, self.stride, inside, groups=self.groups
        )
        return self.activation(out)


class _Add(nn.Module):
    """Sum of two tensors and its activation."""

    def __init__(self, *, activation: str | None) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.activation(first + second)


class _PadChannels(nn.Module):
    """Channels of zeros after the others."""

    def __init__(self, *, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, features: Tensor) -> Tensor:
        return functional.pad(features, (0, 0, 0, 0, 0, self.count))


class _MaxPool(nn.Module):
    """Largest value of every window."""

    def __init__(self, *, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, features: Tensor) -> Tensor:
        return functional.max_pool2d(features, self.kernel, self.stride)


class _Resize(nn.Module):
    """Bilinear resampling by a factor, pixel centres at halves, no low-pass filter."""

    def __init__(self, *, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        return functional.interpolate(features, scale_factor=self.factor, mode="bilinear")


class _Sigmoid(nn.Module):
    """Logistic function."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.sigmoid(features)


class _Flatten(nn.Module):
    """One vector a picture, channels last as the networks' authors laid them out."""

    def forward(self, features: Tensor) -> Tensor:
        return features.permute(0, 2, 3, 1).flatten(1)


def _identity(features: Tensor) -> Tensor:
    return features


def _relu6(features: Tensor) -> Tensor:
    return functional.relu6(features, inplace=True)


ACTIVATIONS = {  # in place, on what the operation has just made: a pass over memory less
    None: _identity,
    "relu": functional.relu_,
    "relu6": _relu6,
}
OPERATIONS = {
    "convolution": _Convolution,
    "add": _Add,
    "pad_channels": _PadChannels,
    "max_pool": _MaxPool,
    "resize": _Resize,
    "sigmoid": _Sigmoid,
    "flatten": _Flatten,
}


class Network(nn.Module):
    """Executes a graph: any batch, any device, differentiable in its pictures."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.layers = nn.ModuleDict(
            {node.output: OPERATIONS[node.operation](**node.settings) for node in graph.nodes}
        )
        self._last_reader = {name: node for node in graph.nodes for name in node.inputs}

    def forward(
        self, pictures: Float[Tensor, "batch channels height width"], taps: tuple[str, ...] = ()
    ) -> dict[str, Tensor]:
        """Outputs by meaning, and the inner tensors named in `taps` by their names."""
        wanted = {**self.graph.outputs, **{name: name for name in taps}}
        kept, tensors = set(wanted.values()), {PICTURE: pictures}
        for node in self.graph.nodes:
            tensors[node.output] = self.layers[node.output](
                *(tensors[name] for name in node.inputs)
            )
            for name in set(node.inputs) - kept:
                if self._last_reader[name] is node:
                    del tensors[name]  # else every inner tensor of a batch lives until the end
        return {name: tensors[source] for name, source in wanted.items()}


def pack(graph: Graph, weights: dict[str, np.ndarray]) -> bytes:
    """The network's file: the same network always gives the same bytes."""
    halves = {name: array.astype(np.float16) for name, array in weights.items()}
    exact = {name: np.array_equal(halves[name], weights[name]) for name in weights}
    tensors = {
        name: np.ascontiguousarray(halves[name] if exact[name] else weights[name])
        for name in sorted(weights)
    }
    return save(tensors, metadata={"graph": graph.to_json()})


def load_network(path: Path) -> Network:
    """Read a network, ready for use in float32 on the CPU; BadInputError if that fails."""
    try:
        with safe_open(path, framework="pt") as file:
            graph = Graph.from_json((file.metadata() or {}).get("graph", "{}"))
            weights = {
                f"layers.{name}": file.get_tensor(name).float()
                for name in file.keys()  # noqa: SIM118
            }
        network = Network(graph)
        network.load_state_dict(weights)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise BadInputError(
            f"The network {path.name} cannot be read: run 'make setup' to fetch it again."
        ) from error
    return network.eval()
