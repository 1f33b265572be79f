"""Converts a TensorFlow.js graph model (NanoDet) to our own form of a network, without TensorFlow."""

import json
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from hund_backend.perception.graph import PICTURE, Graph, Node

DTYPES = {"float32": np.float32, "float16": np.float16, "int32": np.int32}


@dataclass(frozen=True, kw_only=True)
class _Tensor:
    """A tensor of ours under the name and the order of axes that the file gives it."""

    name: str  # ours
    axes: str  # "NCHW" or "NHWC"
    channels: int
    size: int  # height; pictures are square here
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)  # still to be given to its reader


def read_tfjs(
    model: bytes, binary: bytes, outputs: dict[str, str]
) -> tuple[Graph, dict[str, np.ndarray]]:
    """The network and its weights, as far as the outputs need them.

    Args:
        model: the file model.json; its picture is NCHW and square.
        binary: the one file of weights that it names.
        outputs: meaning of each output → name of the file's node that makes it.
    """
    fields = json.loads(model)
    reader = _Reader(fields, _constants(fields["weightsManifest"], binary))
    made = {meaning: reader.tensor(name).name for meaning, name in outputs.items()}
    shape = (reader.picture.channels, reader.picture.size, reader.picture.size)
    return Graph(
        input_shape=shape, nodes=tuple(reader.nodes.values()), outputs=made
    ), reader.weights


def select_channels(
    graph: Graph, weights: dict[str, np.ndarray], output: str, channels: list[int]
) -> tuple[Graph, dict[str, np.ndarray]]:
    """Keep some channels of an output that a convolution makes; the others are never computed."""
    name = graph.outputs[output]
    nodes = []
    for node in graph.nodes:
        if node.output == name:
            into, _ = node.settings["channels"]
            node = replace(node, settings={**node.settings, "channels": (into, len(channels))})
        nodes.append(node)
    kept = {key: weights[key][channels] for key in (f"{name}.weight", f"{name}.bias")}
    return replace(graph, nodes=tuple(nodes)), {**weights, **kept}


def _constants(manifest: list[dict], binary: bytes) -> dict[str, np.ndarray]:
    """Every constant of the file, in the precision in which it is stored."""
    constants, start = {}, 0
    for row in (row for group in manifest for row in group["weights"]):
        dtype = np.dtype(DTYPES[row.get("quantization", row)["dtype"]])
        count = int(np.prod(row["shape"], dtype=np.int64))
        array = np.frombuffer(binary, dtype, count, start).reshape(row["shape"])
        constants[row["name"]] = array
        start += array.nbytes
    return constants


class _Reader:
    """Reads a node when a later one needs it, so that what no output needs is left out."""

    def __init__(self, fields: dict, constants: dict[str, np.ndarray]) -> None:
        self.source = {node["name"]: node for node in fields["modelTopology"]["node"]}
        self.readers = Counter(
            name for node in self.source.values() for name in node.get("input", ())
        )
        self.constants = constants
        self.nodes: dict[str, Node] = {}
        self.weights: dict[str, np.ndarray] = {}
        self.known: dict[str, _Tensor] = {}
        (placeholder,) = (node for node in self.source.values() if node["op"] == "Placeholder")
        _, channels, size, _ = (
            int(d["size"]) for d in placeholder["attr"]["shape"]["shape"]["dim"]
        )
        self.picture = _Tensor(name=PICTURE, axes="NCHW", channels=channels, size=size)
        self.known[placeholder["name"]] = self.picture

    def tensor(self, name: str) -> _Tensor:
        if name not in self.known:
            node = self.source[name]
            if node["op"] not in READERS:
                raise ValueError(f"{node['op']} is no operation of ours")
            self.known[name] = READERS[node["op"]](self, node)
        return self.known[name]

    def add(self, operation: str, inputs: list[_Tensor], settings: dict) -> str:
        name = str(len(self.nodes) + 1)
        self.nodes[name] = Node(
            operation=operation,
            inputs=tuple(tensor.name for tensor in inputs),
            output=name,
            settings=settings,
        )
        return name

    def transpose(self, node: dict) -> _Tensor:
        tensor, order = self.tensor(node["input"][0]), self.constants[node["input"][1]]
        return replace(tensor, axes="".join(tensor.axes[axis] for axis in order))

    def pad(self, node: dict) -> _Tensor:
        """Padding becomes a setting of the operation that reads it."""
        tensor = self.tensor(node["input"][0])
        sides = dict(zip(tensor.axes, self.constants[node["input"][1]].tolist(), strict=True))
        assert sides["N"] == sides["C"] == [0, 0]
        return replace(tensor, padding=(*sides["W"], *sides["H"]))

    def convolution(self, node: dict) -> _Tensor:
        tensor, kernel = self.tensor(node["input"][0]), self.constants[node["input"][1]]
        stride = int(node["attr"]["strides"]["list"]["i"][1])
        height, width, into, out = kernel.shape
        settings = {
            "channels": (into, out),
            "kernel": (height, width),
            "stride": stride,
            "padding": tensor.padding,
            "groups": 1,
            "activation": None,
        }
        name = self.add("convolution", [tensor], settings)
        self.weights[f"{name}.weight"] = kernel.transpose(3, 2, 0, 1)
        self.weights[f"{name}.bias"] = np.zeros(out, np.float16)
        size = _windows(tensor, height, stride)
        return _Tensor(name=name, axes="NHWC", channels=out, size=size)

    def sum(self, node: dict) -> _Tensor:
        first = self.tensor(node["input"][0])
        if node["input"][1] in self.constants:
            self.weights[f"{first.name}.bias"] = self.constants[node["input"][1]]
            return first
        second = self.tensor(node["input"][1])
        return replace(first, name=self.add("add", [first, second], {"activation": None}))

    def leaky_relu(self, node: dict) -> _Tensor:
        """The activation becomes a setting of the convolution that it follows."""
        tensor = self.tensor(node["input"][0])
        before = self.nodes[tensor.name]
        assert before.operation == "convolution" and self.readers[node["input"][0]] == 1
        assert abs(node["attr"]["alpha"]["f"] - 0.1) < 1e-6
        settings = {**before.settings, "activation": "leaky_relu"}
        self.nodes[tensor.name] = replace(before, settings=settings)
        return tensor

    def max_pool(self, node: dict) -> _Tensor:
        tensor = self.tensor(node["input"][0])
        kernel = int(node["attr"]["ksize"]["list"]["i"][1])
        stride = int(node["attr"]["strides"]["list"]["i"][1])
        assert len(set(tensor.padding)) == 1
        settings = {"kernel": kernel, "stride": stride, "padding": tensor.padding[0]}
        name = self.add("max_pool", [tensor], settings)
        size = _windows(tensor, kernel, stride)
        return replace(tensor, name=name, size=size, padding=(0, 0, 0, 0))

    def concatenate(self, node: dict) -> _Tensor:
        parts = [self.tensor(name) for name in node["input"][:-1]]
        assert parts[0].axes[int(self.constants[node["input"][-1]])] == "C"
        channels = sum(part.channels for part in parts)
        return replace(parts[0], name=self.add("concatenate", parts, {}), channels=channels)

    def resize(self, node: dict) -> _Tensor:
        tensor = self.tensor(node["input"][0])
        assert node["attr"]["half_pixel_centers"]["b"]
        size = int(self.constants[node["input"][1]][0])
        name = self.add("resize", [tensor], {"factor": size / tensor.size})
        return replace(tensor, name=name, size=size)


def _windows(tensor: _Tensor, kernel: int, stride: int) -> int:
    """Windows along one side of a padded tensor."""
    _, _, top, bottom = tensor.padding
    return (tensor.size + top + bottom - kernel) // stride + 1


READERS = {
    "Transpose": _Reader.transpose,
    "Pad": _Reader.pad,
    "PadV2": _Reader.pad,
    "Conv2D": _Reader.convolution,
    "Add": _Reader.sum,
    "LeakyRelu": _Reader.leaky_relu,
    "MaxPool": _Reader.max_pool,
    "ConcatV2": _Reader.concatenate,
    "ResizeBilinear": _Reader.resize,
}
