"""Writes a network of ours as an ONNX file that keeps no weights of its own.

Its initializers point into the network's safetensors file beside it, so that both engines execute
the same numbers and the weights exist once.
"""

import json
from collections.abc import Callable

import onnx
from onnx import TensorProto, helper

from hund_backend.perception.graph import INPUT, Graph, Node

OPSET = 17
IR_VERSION = 8


def write_onnx(packed: bytes, file: str) -> bytes:
    """The ONNX file of a network; the same network always gives the same bytes.

    Args:
        packed: the network's safetensors file.
        file: name of that file, which must lie beside the ONNX file.
    """
    header_size = int.from_bytes(packed[:8], "little")
    header = json.loads(packed[8 : 8 + header_size])
    graph = Graph.from_json(header.pop("__metadata__")["graph"])
    writer = _Writer()
    for name, row in header.items():
        writer.initialize(name, row, file, 8 + header_size)
    for node in graph.nodes:
        WRITERS[node.operation](writer, node)
    for meaning, source in graph.outputs.items():
        writer.add("Identity", [source], meaning)
    channels = graph.input_shape[0]
    picture = helper.make_tensor_value_info(
        INPUT, TensorProto.FLOAT, ["batch", channels, "height", "width"]
    )
    outputs = [helper.make_empty_tensor_value_info(name) for name in graph.outputs]
    body = helper.make_graph(writer.nodes, "network", [picture], outputs, writer.initializers)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(body, opset_imports=[opset], ir_version=IR_VERSION)
    return model.SerializeToString(deterministic=True)


class _Writer:
    """Collects nodes and initializers in the order in which they are executed."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], output: str, **attributes: object) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))

    def initialize(self, name: str, row: dict, file: str, start: int) -> None:
        """A tensor of the safetensors file, in single precision."""
        first, last = row["data_offsets"]
        half = row["dtype"] == "F16"
        tensor = onnx.TensorProto(
            name=f"{name}.half" if half else name,
            dims=row["shape"],
            data_type=TensorProto.FLOAT16 if half else TensorProto.FLOAT,
            data_location=TensorProto.EXTERNAL,
        )
        place = {"location": file, "offset": str(start + first), "length": str(last - first)}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=value)
        self.initializers.append(tensor)
        if half:  # folded into a constant when the file is loaded
            self.add("Cast", [tensor.name], name, to=TensorProto.FLOAT)

    def numbers(self, name: str, values: list[float] | list[int] | float) -> str:
        """A small constant."""
        flat = values if isinstance(values, list) else [values]
        kind = TensorProto.INT64 if isinstance(flat[0], int) else TensorProto.FLOAT
        dims = [len(flat)] if isinstance(values, list) else []
        self.initializers.append(helper.make_tensor(name, kind, dims, flat))
        return name

    def activate(self, activation: str | None, node: Node, write: Callable[[str], None]) -> None:
        """Write an operation and the activation that belongs to it."""
        before = f"{node.output}.before" if activation else node.output
        write(before)
        if activation == "relu":
            self.add("Relu", [before], node.output)
        elif activation == "relu6":
            low = self.numbers(f"{node.output}.low", 0.0)
            high = self.numbers(f"{node.output}.high", 6.0)
            self.add("Clip", [before, low, high], node.output)

    def convolution(self, node: Node) -> None:
        settings = node.settings
        left, right, top, bottom = settings["padding"]

        def write(output: str) -> None:
            self.add(
                "Conv",
                [*node.inputs, f"{node.output}.weight", f"{node.output}.bias"],
                output,
                group=settings["groups"],
                pads=[top, left, bottom, right],
                strides=[settings["stride"]] * 2,
            )

        self.activate(settings["activation"], node, write)

    def sum(self, node: Node) -> None:
        def write(output: str) -> None:
            self.add("Add", list(node.inputs), output)

        self.activate(node.settings["activation"], node, write)

    def pad_channels(self, node: Node) -> None:
        pads = [0, 0, 0, 0, 0, node.settings["count"], 0, 0]
        name = self.numbers(f"{node.output}.pads", pads)
        self.add("Pad", [*node.inputs, name], node.output)

    def max_pool(self, node: Node) -> None:
        settings = node.settings
        self.add(
            "MaxPool",
            list(node.inputs),
            node.output,
            kernel_shape=[settings["kernel"]] * 2,
            strides=[settings["stride"]] * 2,
        )

    def resize(self, node: Node) -> None:
        factor = float(node.settings["factor"])
        scales = self.numbers(f"{node.output}.scales", [1.0, 1.0, factor, factor])
        self.add("Resize", [*node.inputs, "", scales], node.output, mode="linear")

    def sigmoid(self, node: Node) -> None:
        self.add("Sigmoid", list(node.inputs), node.output)

    def flatten(self, node: Node) -> None:
        last = f"{node.output}.last"
        self.add("Transpose", list(node.inputs), last, perm=[0, 2, 3, 1])
        self.add("Flatten", [last], node.output)


WRITERS = {
    "convolution": _Writer.convolution,
    "add": _Writer.sum,
    "pad_channels": _Writer.pad_channels,
    "max_pool": _Writer.max_pool,
    "resize": _Writer.resize,
    "sigmoid": _Writer.sigmoid,
    "flatten": _Writer.flatten,
}
