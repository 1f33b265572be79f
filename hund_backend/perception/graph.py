"""Graph format of the pretrained networks: a list of few kinds of operations, executed by torch.

The converters in `tools/` write this format once, from the files that the networks' authors
published (.tflite, TensorFlow.js). A network is one safetensors file: its tensors in half precision
wherever that loses nothing, and the list of operations as JSON in the file's header. Tensors are
NCHW; every padding is explicit; activations belong to the operation they follow.
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
INPUT = "picture"  # name of the input tensor


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operation with its inputs, output and settings."""

    operation: str  # a key of OPERATIONS
    inputs: tuple[str, ...]
    output: str  # name of the output tensor, also the prefix of its weights' names
    settings: dict  # keyword arguments of the operation's class


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A network without its weights."""

    input_shape: tuple[int, int, int]  # channels, height, width it was trained for
    nodes: tuple[Node, ...]
    outputs: dict[str, str]  # meaning → name of the tensor

    def to_json(self) -> str:
        """Return the graph as JSON; equal graphs give equal text."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Graph":
        """Read the text of `to_json`.

        Raises:
            ValueError: the text is in another format.
        """
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
    """Replace lists by tuples, which JSON does not have."""
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
        channels_in, channels_out = channels
        self.register_buffer("weight", torch.empty(channels_out, channels_in // groups, *kernel))
        self.register_buffer("bias", torch.empty(channels_out))
        self.stride, self.groups, self.padding = stride, groups, tuple(padding)
        self.activation = ACTIVATIONS[activation]

    def forward(self, features: Tensor) -> Tensor:
        left, right, top, bottom = self.padding
        symmetric = (top, left)  # padded by the convolution: a separate pad would be a copy
        if (left, top) != (right, bottom):
            features, symmetric = functional.pad(features, self.padding), 0
        features = functional.conv2d(
            features, self.weight, self.bias, self.stride, symmetric, groups=self.groups
        )
        return self.activation(features)


class _Add(nn.Module):
    """Sum of two tensors and its activation."""

    def __init__(self, *, activation: str | None) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.activation(first + second)


class _Combination(nn.Module):
    """Two tensors combined element by element; sides of one are broadcast."""

    def __init__(self, *, function: str) -> None:
        super().__init__()
        self.function = COMBINATIONS[function]

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.function(first, second)


class _Function(nn.Module):
    """Function of each element."""

    def __init__(self, *, function: str) -> None:
        super().__init__()
        self.function = FUNCTIONS[function]

    def forward(self, features: Tensor) -> Tensor:
        return self.function(features)


class _Reduction(nn.Module):
    """Mean or sum over one axis, which keeps a side of one."""

    def __init__(self, *, function: str, axis: int) -> None:
        super().__init__()
        self.function, self.axis = REDUCTIONS[function], axis

    def forward(self, features: Tensor) -> Tensor:
        return self.function(features, dim=self.axis, keepdim=True)


class _Constant(nn.Module):
    """Tensor that belongs to the network, for a batch of one."""

    def __init__(self, *, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(1, *shape))

    def forward(self) -> Tensor:
        return self.weight


class _PadColumn(nn.Module):
    """Zero padding of one column, before the others."""

    def forward(self, features: Tensor) -> Tensor:
        return functional.pad(features, (1, 0))


class _FirstColumn(nn.Module):
    """The first column alone."""

    def forward(self, features: Tensor) -> Tensor:
        return features[..., :1]


class _ColumnsAsChannels(nn.Module):
    """Exchange of columns and channels, as of the tokens and features of a mixer."""

    def forward(self, features: Tensor) -> Tensor:
        return features.transpose(1, 3)


class _LeakyRectifier(nn.Module):
    """Rectifier with a learned slope of the negative side for each channel (PReLU)."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(channels))

    def forward(self, features: Tensor) -> Tensor:
        return functional.prelu(features, self.weight)


class _PadChannels(nn.Module):
    """Zero padding of channels, after the others."""

    def __init__(self, *, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, features: Tensor) -> Tensor:
        return functional.pad(features, (0, 0, 0, 0, 0, self.count))


class _MaxPool(nn.Module):
    """Max pooling."""

    def __init__(self, *, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, features: Tensor) -> Tensor:
        return functional.max_pool2d(features, self.kernel, self.stride)


class _Resize(nn.Module):
    """Bilinear resampling by a factor, pixel centers at halves, no low-pass filter."""

    def __init__(self, *, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        return functional.interpolate(features, scale_factor=self.factor, mode="bilinear")


class _Sigmoid(nn.Module):
    """Logistic function."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.sigmoid(features)


class _Mean(nn.Module):
    """Mean over height and width, as one cell."""

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=(2, 3), keepdim=True)


class _Flatten(nn.Module):
    """One vector for each image, channels last as in the original networks."""

    def forward(self, features: Tensor) -> Tensor:
        return features.permute(0, 2, 3, 1).flatten(1)


def _identity(features: Tensor) -> Tensor:
    return features


def _relu6(features: Tensor) -> Tensor:
    return functional.relu6(features, inplace=True)


ACTIVATIONS = {  # in place on the operation's output, which saves a pass over memory
    None: _identity,
    "relu": functional.relu_,
    "relu6": _relu6,
}
COMBINATIONS = {
    "subtract": torch.sub,
    "multiply": torch.mul,
    "divide": torch.div,
}
FUNCTIONS = {"square_root": torch.sqrt, "inverse_square_root": torch.rsqrt}
REDUCTIONS = {"mean": torch.mean, "sum": torch.sum}
OPERATIONS = {
    "convolution": _Convolution,
    "add": _Add,
    "combine": _Combination,
    "function": _Function,
    "reduce": _Reduction,
    "constant": _Constant,
    "pad_column": _PadColumn,
    "first_column": _FirstColumn,
    "columns_as_channels": _ColumnsAsChannels,
    "prelu": _LeakyRectifier,
    "pad_channels": _PadChannels,
    "max_pool": _MaxPool,
    "resize": _Resize,
    "sigmoid": _Sigmoid,
    "mean": _Mean,
    "flatten": _Flatten,
}


class Network(nn.Module):
    """Network of a graph: any batch size, any device, differentiable in its images."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.layers = nn.ModuleDict(
            {node.output: OPERATIONS[node.operation](**node.settings) for node in graph.nodes}
        )
        self._last_reader = {name: node for node in graph.nodes for name in node.inputs}

    def forward(
        self, images: Float[Tensor, "batch channels height width"], taps: tuple[str, ...] = ()
    ) -> dict[str, Tensor]:
        """Return the outputs by meaning, and the inner tensors named in `taps` by name."""
        outputs = {**self.graph.outputs, **{name: name for name in taps}}
        kept, tensors = set(outputs.values()), {INPUT: images}
        for node in self.graph.nodes:
            tensors[node.output] = self.layers[node.output](
                *(tensors[name] for name in node.inputs)
            )
            for name in set(node.inputs) - kept:
                if self._last_reader[name] is node:
                    del tensors[name]  # else all inner tensors of a batch stay in memory
        return {name: tensors[source] for name, source in outputs.items()}


def pack_network(graph: Graph, weights: dict[str, np.ndarray]) -> bytes:
    """Return the content of a network's file; equal networks give equal bytes."""
    halves = {name: array.astype(np.float16) for name, array in weights.items()}
    exact = {name: np.array_equal(halves[name], weights[name]) for name in weights}
    tensors = {
        name: np.ascontiguousarray(halves[name] if exact[name] else weights[name])
        for name in sorted(weights)
    }
    return save(tensors, metadata={"graph": graph.to_json()})


def load_network(path: Path) -> Network:
    """Read a network for use in float32 on the CPU.

    Raises:
        BadInputError: the file is missing or damaged.
    """
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
