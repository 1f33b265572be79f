"""Export of a network in our graph format to ONNX, without a copy of the weights.

The initializers point into the safetensors file beside the ONNX file, so that both engines read the
same weights.
"""

import json
from collections.abc import Callable

import onnx
from onnx import TensorProto, helper

from hund_backend.perception.graph import INPUT, Graph, Node

OPSET = 17
IR_VERSION = 8
_FIRST_COLUMN = {"starts": 0, "ends": 1, "axes": 3}


def write_onnx(packed: bytes, file: str) -> bytes:
    """Return the content of a network's ONNX file; equal networks give equal bytes.

    Args:
        packed: content of the network's safetensors file.
        file: name of that file, which must be in the folder of the ONNX file.
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
    image = helper.make_tensor_value_info(
        INPUT, TensorProto.FLOAT, ["batch", channels, "height", "width"]
    )
    outputs = [helper.make_empty_tensor_value_info(name) for name in graph.outputs]
    body = helper.make_graph(writer.nodes, "network", [image], outputs, writer.initializers)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(body, opset_imports=[opset], ir_version=IR_VERSION)
    return model.SerializeToString(deterministic=True)


class _Writer:
    """Collects nodes and initializers in the order of execution."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], output: str, **attributes: object) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))

    def initialize(self, name: str, row: dict, file: str, start: int) -> None:
        """Add a tensor of the safetensors file, in single precision."""
        first, last = row["data_offsets"]
        half = row["dtype"] == "F16"
        tensor = onnx.TensorProto(
            name=f"{name}.half" if half else name,
            dims=row["shape"],
            data_type=TensorProto.FLOAT16 if half else TensorProto.FLOAT,
            data_location=TensorProto.EXTERNAL,
        )
        location = {"location": file, "offset": str(start + first), "length": str(last - first)}
        for key, value in location.items():
            tensor.external_data.add(key=key, value=value)
        self.initializers.append(tensor)
        if half:  # ONNX Runtime folds it when it loads the file
            self.add("Cast", [tensor.name], name, to=TensorProto.FLOAT)

    def constant(self, name: str, values: list[float] | list[int] | float) -> str:
        """Add a small constant; return its name."""
        flat = values if isinstance(values, list) else [values]
        kind = TensorProto.INT64 if isinstance(flat[0], int) else TensorProto.FLOAT
        dims = [len(flat)] if isinstance(values, list) else []
        self.initializers.append(helper.make_tensor(name, kind, dims, flat))
        return name

    def activate(self, activation: str | None, node: Node, write: Callable[[str], None]) -> None:
        """Add an operation and its activation."""
        before = f"{node.output}.before" if activation else node.output
        write(before)
        if activation == "relu":
            self.add("Relu", [before], node.output)
        elif activation == "relu6":
            low = self.constant(f"{node.output}.low", 0.0)
            high = self.constant(f"{node.output}.high", 6.0)
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

    def combine(self, node: Node) -> None:
        kinds = {"subtract": "Sub", "multiply": "Mul", "divide": "Div"}
        self.add(kinds[node.settings["function"]], list(node.inputs), node.output)

    def function(self, node: Node) -> None:
        if node.settings["function"] == "square_root":
            self.add("Sqrt", list(node.inputs), node.output)
            return
        root = f"{node.output}.root"
        self.add("Sqrt", list(node.inputs), root)
        self.add("Reciprocal", [root], node.output)

    def reduce(self, node: Node) -> None:
        if node.settings["function"] == "mean":
            axes = [node.settings["axis"]]
            self.add("ReduceMean", list(node.inputs), node.output, axes=axes, keepdims=1)
            return
        axes = self.constant(f"{node.output}.axes", [node.settings["axis"]])
        self.add("ReduceSum", [*node.inputs, axes], node.output, keepdims=1)

    def stored(self, node: Node) -> None:
        self.add("Identity", [f"{node.output}.weight"], node.output)

    def pad_column(self, node: Node) -> None:
        name = self.constant(f"{node.output}.pads", [0, 0, 0, 1, 0, 0, 0, 0])
        self.add("Pad", [*node.inputs, name], node.output)

    def first_column(self, node: Node) -> None:
        limits = [self.constant(f"{node.output}.{n}", [v]) for n, v in _FIRST_COLUMN.items()]
        self.add("Slice", [*node.inputs, *limits], node.output)

    def columns_as_channels(self, node: Node) -> None:
        self.add("Transpose", list(node.inputs), node.output, perm=[0, 3, 2, 1])

    def prelu(self, node: Node) -> None:
        # As slope · x + (1 − slope) · max(x, 0): ONNX Runtime's own PRelu takes more than half of
        # the time of a network.
        slope, rest, positive = (f"{node.output}.{part}" for part in ("slope", "rest", "positive"))
        shape = self.constant(f"{node.output}.shape", [-1, 1, 1])
        self.add("Reshape", [f"{node.output}.weight", shape], slope)
        self.add("Sub", [self.constant(f"{node.output}.one", 1.0), slope], rest)
        self.add("Relu", list(node.inputs), positive)
        terms = ((node.inputs[0], slope), (positive, rest))
        for source, factor in terms:
            self.add("Mul", [source, factor], f"{factor}.term")
        self.add("Add", [f"{slope}.term", f"{rest}.term"], node.output)

    def pad_channels(self, node: Node) -> None:
        pads = [0, 0, 0, 0, 0, node.settings["count"], 0, 0]
        name = self.constant(f"{node.output}.pads", pads)
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
        scales = self.constant(f"{node.output}.scales", [1.0, 1.0, factor, factor])
        self.add("Resize", [*node.inputs, "", scales], node.output, mode="linear")

    def sigmoid(self, node: Node) -> None:
        self.add("Sigmoid", list(node.inputs), node.output)

    def mean(self, node: Node) -> None:
        self.add("GlobalAveragePool", list(node.inputs), node.output)

    def flatten(self, node: Node) -> None:
        last = f"{node.output}.last"
        self.add("Transpose", list(node.inputs), last, perm=[0, 2, 3, 1])
        self.add("Flatten", [last], node.output)


WRITERS = {
    "convolution": _Writer.convolution,
    "add": _Writer.sum,
    "combine": _Writer.combine,
    "function": _Writer.function,
    "reduce": _Writer.reduce,
    "constant": _Writer.stored,
    "pad_column": _Writer.pad_column,
    "first_column": _Writer.first_column,
    "columns_as_channels": _Writer.columns_as_channels,
    "prelu": _Writer.prelu,
    "pad_channels": _Writer.pad_channels,
    "max_pool": _Writer.max_pool,
    "resize": _Writer.resize,
    "sigmoid": _Writer.sigmoid,
    "mean": _Writer.mean,
    "flatten": _Writer.flatten,
}
