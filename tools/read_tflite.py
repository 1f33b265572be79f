"""Converter of a .tflite file (BlazePose, the hand network) to our graph format."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from hund_backend.perception.graph import INPUT, Graph, Node

ACTIVATIONS = {
    schema.ActivationFunctionType.NONE: None,
    schema.ActivationFunctionType.RELU: "relu",
    schema.ActivationFunctionType.RELU6: "relu6",
}
OPERATOR_NAMES = {
    number: name
    for name, number in vars(schema.BuiltinOperator).items()
    if isinstance(number, int)
}
DTYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT32: np.int32,
}


def read_tflite(tflite: bytes, outputs: dict[str, int]) -> tuple[Graph, dict[str, np.ndarray]]:
    """Convert a network.

    Inner tensors are named by their numbers in the file, so that they can be tapped.

    Args:
        tflite: content of the file; the network has one input, NHWC.
        outputs: meaning of each output → number of the tensor in the file.

    Returns:
        The graph, and its weights by name.

    Raises:
        ValueError: the network has an operation that our format does not.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(tflite, 0))
    reader = _Reader(model)
    for operator in model.subgraphs[0].operators:
        reader.read(operator)
    height, width, channels = reader.shape(reader.main.inputs[0])[1:]
    graph = Graph(
        input_shape=(channels, height, width),
        nodes=tuple(reader.nodes),
        outputs={name: str(tensor) for name, tensor in outputs.items()},
    )
    return graph, reader.weights


class _Reader:
    """Converts operators in the file's order, which is an order of execution."""

    def __init__(self, model: schema.ModelT) -> None:
        self.model, self.main = model, model.subgraphs[0]
        self.nodes: list[Node] = []
        self.weights: dict[str, np.ndarray] = {}
        self.constants = {
            number: np.frombuffer(
                bytes(bytearray(model.buffers[tensor.buffer].data)), DTYPES[tensor.type]
            ).reshape(tensor.shape)
            for number, tensor in enumerate(self.main.tensors)
            if model.buffers[tensor.buffer].data is not None
        }
        self.names = {int(self.main.inputs[0]): INPUT}
        self.padded: dict[int, tuple[int, tuple[int, int, int, int]]] = {}

    def shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(int(side) for side in self.main.tensors[tensor].shape)

    def read(self, operator: schema.OperatorT) -> None:
        code = self.model.operatorCodes[operator.opcodeIndex]
        name = OPERATOR_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
        if name not in READERS:
            raise ValueError(f"{name} is not supported")
        READERS[name](self, operator, [int(tensor) for tensor in operator.inputs])

    def add(
        self, operation: str, operator: schema.OperatorT, inputs: list[int], settings: dict
    ) -> str:
        """Append a node; return the name of its output."""
        output = int(operator.outputs[0])
        names = tuple(self.names.get(tensor, str(tensor)) for tensor in inputs)
        node = Node(operation=operation, inputs=names, output=str(output), settings=settings)
        self.nodes.append(node)
        return node.output

    def dequantize(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        self.constants[int(operator.outputs[0])] = self.constants[inputs[0]]

    def pad(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        """Convert spatial padding to a setting of the convolution that follows."""
        _, (top, bottom), (left, right), (before, after) = self.constants[inputs[1]].tolist()
        if after:
            assert before == top == bottom == left == right == 0
            self.add("pad_channels", operator, inputs[:1], {"count": after})
            return
        self.padded[int(operator.outputs[0])] = (inputs[0], (left, right, top, bottom))

    def convolution(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        options = operator.builtinOptions
        depthwise = isinstance(options, schema.DepthwiseConv2DOptionsT)
        kernel = self.constants[inputs[1]]  # out height width in; depthwise: 1 height width out
        kernel = kernel.transpose(3, 0, 1, 2) if depthwise else kernel.transpose(0, 3, 1, 2)
        source, padding = self.padded.get(inputs[0], (inputs[0], (0, 0, 0, 0)))
        if options.padding == schema.Padding.SAME:
            padding = same_padding(self.shape(source)[1:3], kernel.shape[2:], options.strideH)
        channels = self.shape(source)[3]
        settings = {
            "channels": (channels, kernel.shape[0]),
            "kernel": kernel.shape[2:],
            "stride": options.strideH,
            "padding": padding,
            "groups": channels if depthwise else 1,
            "activation": ACTIVATIONS[options.fusedActivationFunction],
        }
        assert options.strideH == options.strideW and options.dilationHFactor == 1
        output = self.add("convolution", operator, [source], settings)
        self.weights[f"{output}.weight"] = kernel
        self.weights[f"{output}.bias"] = self.constants[inputs[2]]

    def sum(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        activation = ACTIVATIONS[operator.builtinOptions.fusedActivationFunction]
        self.add("add", operator, inputs, {"activation": activation})

    def max_pool(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        options = operator.builtinOptions
        assert options.filterHeight == options.filterWidth == options.strideH == options.strideW
        settings = {"kernel": options.filterHeight, "stride": options.strideH}
        self.add("max_pool", operator, inputs, settings)

    def resize(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        options = operator.builtinOptions
        assert options.halfPixelCenters and not options.alignCorners
        factor = float(self.constants[inputs[1]][0] / self.shape(inputs[0])[1])
        self.add("resize", operator, inputs[:1], {"factor": factor})

    def sigmoid(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        self.add("sigmoid", operator, inputs, {})

    def mean(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        assert self.constants[inputs[1]].tolist() == [1, 2]  # height and width
        self.add("mean", operator, inputs[:1], {})

    def fully_connected(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        """Convert to a convolution of the one cell that a mean leaves."""
        kernel = self.constants[inputs[1]]  # out in
        settings = {
            "channels": (kernel.shape[1], kernel.shape[0]),
            "kernel": (1, 1),
            "stride": 1,
            "padding": (0, 0, 0, 0),
            "groups": 1,
            "activation": ACTIVATIONS[operator.builtinOptions.fusedActivationFunction],
        }
        output = self.add("convolution", operator, inputs[:1], settings)
        self.weights[f"{output}.weight"] = kernel[:, :, None, None]
        self.weights[f"{output}.bias"] = self.constants[inputs[2]]

    def flatten(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        assert len(self.shape(int(operator.outputs[0]))) == 2
        self.add("flatten", operator, inputs[:1], {})


def same_padding(
    size: tuple[int, int], kernel: tuple[int, int], stride: int
) -> tuple[int, int, int, int]:
    """Return TensorFlow's SAME padding: ceil(size / stride) windows, an odd pixel at the end.

    Args:
        size: height and width of the input.
        kernel: height and width of the filter.
        stride: in both directions.

    Returns:
        Padding on the left, right, top and bottom.

    Example:
        >>> same_padding((8, 8), (3, 3), 2)
        (0, 1, 0, 1)
    """
    padding = []
    for side, taps in zip(reversed(size), reversed(kernel), strict=True):
        total = max((-(-side // stride) - 1) * stride + taps - side, 0)
        padding += [total // 2, total - total // 2]
    return tuple(padding)


READERS = {
    "DEQUANTIZE": _Reader.dequantize,
    "PAD": _Reader.pad,
    "CONV_2D": _Reader.convolution,
    "DEPTHWISE_CONV_2D": _Reader.convolution,
    "ADD": _Reader.sum,
    "MAX_POOL_2D": _Reader.max_pool,
    "RESIZE_BILINEAR": _Reader.resize,
    "LOGISTIC": _Reader.sigmoid,
    "MEAN": _Reader.mean,
    "FULLY_CONNECTED": _Reader.fully_connected,
    "RESHAPE": _Reader.flatten,
}
