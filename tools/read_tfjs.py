"""Converter of a TensorFlow.js graph model (MoveNet) to our graph format, without TensorFlow."""

import base64
import json
from dataclasses import dataclass

import numpy as np

from hund_backend.perception.graph import INPUT, Graph, Node
from tools.read_tflite import same_padding

DTYPES = {"float32": np.float32, "float16": np.float16, "int32": np.int32}
ACTIVATIONS = {("BiasAdd",): None, ("BiasAdd", "Relu"): "relu", ("BiasAdd", "Relu6"): "relu6"}


@dataclass(frozen=True, kw_only=True)
class _Tensor:
    """A tensor of the converted graph: name, channels, height (equal to the width)."""

    name: str
    channels: int
    size: int


def read_tfjs(
    model: bytes, binary: bytes, *, input_node: str, outputs: dict[str, str]
) -> tuple[Graph, dict[str, np.ndarray]]:
    """Convert the part of a network that leads to some outputs.

    Args:
        model: content of model.json; the input is NHWC and square.
        binary: content of its one file of weights.
        input_node: name of the file's node that becomes the graph's input.
        outputs: meaning of each output → name of the file's node.

    Returns:
        The graph, and its weights by name.

    Raises:
        ValueError: the network has an operation that our format does not.
    """
    fields = json.loads(model)
    reader = _Reader(fields, _constants(fields["weightsManifest"], binary), input_node)
    names = {meaning: reader.tensor(name).name for meaning, name in outputs.items()}
    shape = (reader.input.channels, reader.input.size, reader.input.size)
    return Graph(input_shape=shape, nodes=tuple(reader.nodes), outputs=names), reader.weights


def _constants(manifest: list[dict], binary: bytes) -> dict[str, np.ndarray]:
    """Return the constants by name, in their stored precision."""
    constants, start = {}, 0
    for row in (row for group in manifest for row in group["weights"]):
        dtype = np.dtype(DTYPES[row.get("quantization", row)["dtype"]])
        count = int(np.prod(row["shape"], dtype=np.int64))
        array = np.frombuffer(binary, dtype, count, start).reshape(row["shape"])
        constants[row["name"]] = array
        start += array.nbytes
    return constants


class _Reader:
    """Converts a node when a later one needs it, so that unused nodes are left out."""

    def __init__(self, fields: dict, constants: dict[str, np.ndarray], input_node: str) -> None:
        self.source = {node["name"]: node for node in fields["modelTopology"]["node"]}
        self.constants = constants
        self.nodes: list[Node] = []
        self.weights: dict[str, np.ndarray] = {}
        (shape,) = (entry["tensorShape"] for entry in fields["signature"]["inputs"].values())
        _, size, _, channels = (int(side["size"]) for side in shape["dim"])
        self.input = _Tensor(name=INPUT, channels=channels, size=size)
        self.known = {input_node: self.input}

    def tensor(self, name: str) -> _Tensor:
        if name not in self.known:
            node = self.source[name]
            if node["op"] not in READERS:
                raise ValueError(f"{node['op']} is not supported")
            self.known[name] = READERS[node["op"]](self, node)
        return self.known[name]

    def add(self, operation: str, inputs: list[_Tensor], settings: dict) -> str:
        name = str(len(self.nodes) + 1)
        sources = tuple(tensor.name for tensor in inputs)
        node = Node(operation=operation, inputs=sources, output=name, settings=settings)
        self.nodes.append(node)
        return name

    def convolution(self, node: dict) -> _Tensor:
        tensor, kernel = self.tensor(node["input"][0]), self.constants[node["input"][1]]
        depthwise = "Depthwise" in node["op"]
        kernel = kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
        stride = int(node["attr"]["strides"]["list"]["i"][1])
        same = _text(node["attr"]["padding"]["s"]) == "SAME"
        size = (tensor.size, tensor.size)
        padding = same_padding(size, kernel.shape[2:], stride) if same else (0, 0, 0, 0)
        settings = {
            "channels": (tensor.channels, kernel.shape[0]),
            "kernel": kernel.shape[2:],
            "stride": stride,
            "padding": padding,
            "groups": tensor.channels if depthwise else 1,
            "activation": _activation(node),
        }
        name = self.add("convolution", [tensor], settings)
        self.weights[f"{name}.weight"] = kernel
        if len(node["input"]) > 2:
            self.weights[f"{name}.bias"] = self.constants[node["input"][2]]
        else:
            self.weights[f"{name}.bias"] = np.zeros(len(kernel), np.float16)
        windows = (tensor.size + sum(padding[2:]) - kernel.shape[2]) // stride + 1
        return _Tensor(name=name, channels=kernel.shape[0], size=windows)

    def sum(self, node: dict) -> _Tensor:
        first, second = (self.tensor(name) for name in node["input"])
        name = self.add("add", [first, second], {"activation": None})
        return _Tensor(name=name, channels=first.channels, size=first.size)

    def resize(self, node: dict) -> _Tensor:
        """Convert a resize to a constant size, or to the input's times a constant factor."""
        tensor = self.tensor(node["input"][0])
        assert node["attr"]["half_pixel_centers"]["b"]
        if node["input"][1] in self.constants:
            (size,) = set(self.constants[node["input"][1]].tolist())
            factor = size // tensor.size
            assert factor * tensor.size == size
        else:
            product = self.source[node["input"][1]]
            assert product["op"] == "Mul"
            (factor,) = set(self.constants[product["input"][1]].tolist())
        name = self.add("resize", [tensor], {"factor": float(factor)})
        return _Tensor(name=name, channels=tensor.channels, size=tensor.size * factor)


def _activation(node: dict) -> str | None:
    """Return the activation that is fused with a convolution."""
    if "fused_ops" not in node["attr"]:
        return None
    return ACTIVATIONS[tuple(_text(name) for name in node["attr"]["fused_ops"]["list"]["s"])]


def _text(base64_text: str) -> str:
    return base64.b64decode(base64_text).decode()


READERS = {
    "_FusedConv2D": _Reader.convolution,
    "FusedDepthwiseConv2dNative": _Reader.convolution,
    "DepthwiseConv2dNative": _Reader.convolution,
    "AddV2": _Reader.sum,
    "ResizeBilinear": _Reader.resize,
}
