"""Converter of a .tflite file (BlazePose, the hand and face networks) to our graph format."""

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
        tflite: content of the file; the network has one input, NHWC, or NWC for a row of points.
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
    height, width, channels = reader.sides(reader.main.inputs[0])
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
            ).reshape(() if tensor.shape is None else tensor.shape)
            for number, tensor in enumerate(self.main.tensors)
            if model.buffers[tensor.buffer].data is not None
        }
        self.names = {int(self.main.inputs[0]): INPUT}
        self.padded: dict[int, tuple[int, tuple[int, int, int, int]]] = {}

    def shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(int(side) for side in self.main.tensors[tensor].shape)

    def sides(self, tensor: int) -> tuple[int, int, int]:
        """Return height, width and channels; a row of points has a height of one."""
        return (1, 1, *self.shape(tensor)[1:])[-3:]

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
        names = tuple(self.name(tensor) for tensor in inputs)
        node = Node(operation=operation, inputs=names, output=str(output), settings=settings)
        self.nodes.append(node)
        return node.output

    def name(self, tensor: int) -> str:
        """Return the name of a tensor; a constant that is read becomes a node of its own."""
        if tensor in self.constants and tensor not in self.names:
            values = self.constants[tensor]
            values = values.reshape((1,) * (3 - values.ndim) + values.shape[-3:])
            name, shape = str(tensor), (values.shape[2], *values.shape[:2])
            node = Node(operation="constant", inputs=(), output=name, settings={"shape": shape})
            self.nodes.append(node)
            self.weights[f"{name}.weight"] = values.transpose(2, 0, 1)[None]
            self.names[tensor] = name
        return self.names.get(tensor, str(tensor))

    def rename(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        """Take an output for the input itself, which has the same content."""
        self.names[int(operator.outputs[0])] = self.name(inputs[0])

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

    def combine(self, operator: schema.OperatorT, inputs: list[int], function: str) -> None:
        self.add("combine", operator, inputs, {"function": function})

    def subtract(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        self.combine(operator, inputs, "subtract")

    def multiply(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        self.combine(operator, inputs, "multiply")

    def divide(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        self.combine(operator, inputs, "divide")

    def negate(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        """Convert to a product with a constant."""
        output = int(operator.outputs[0])
        factor = -1 - output  # a number that no tensor of the file has
        self.constants[factor] = np.float32(-1)
        self.combine(operator, [inputs[0], factor], "multiply")

    def square_difference(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        """Convert to a difference and its product with itself."""
        output = str(int(operator.outputs[0]))
        difference = Node(
            operation="combine",
            inputs=tuple(self.name(tensor) for tensor in inputs),
            output=f"{output}_difference",
            settings={"function": "subtract"},
        )
        square = Node(
            operation="combine",
            inputs=(difference.output, difference.output),
            output=output,
            settings={"function": "multiply"},
        )
        self.nodes += [difference, square]

    def square_root(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        self.add("function", operator, inputs, {"function": "square_root"})

    def inverse_square_root(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        self.add("function", operator, inputs, {"function": "inverse_square_root"})

    def reduce(self, operator: schema.OperatorT, inputs: list[int], function: str) -> None:
        """Convert a reduction over points or channels."""
        (axis,) = np.atleast_1d(self.constants[inputs[1]]) % len(self.shape(inputs[0]))
        last = len(self.shape(inputs[0])) - 1
        settings = {"function": function, "axis": 1 if axis == last else 3}
        assert axis in (last, last - 1) and operator.builtinOptions.keepDims
        self.add("reduce", operator, inputs[:1], settings)

    def mean(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        """Convert to a mean over height and width, else over one axis."""
        if self.constants[inputs[1]].tolist() == [1, 2]:
            self.add("mean", operator, inputs[:1], {})
            return
        self.reduce(operator, inputs, "mean")

    def total(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        self.reduce(operator, inputs, "sum")

    def transpose(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        assert self.constants[inputs[1]].tolist() == [0, 1, 3, 2]
        assert self.sides(inputs[0])[0] == 1
        self.add("columns_as_channels", operator, inputs[:1], {})

    def slice(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        """Convert a slice of the first columns, down to one, or of everything."""
        source, target = self.shape(inputs[0]), self.shape(int(operator.outputs[0]))
        if np.prod(source) == np.prod(target):
            self.rename(operator, inputs)
            return
        assert not self.constants[inputs[1]].any() and (source[3], 1) == (target[3], target[1])
        if target[2] == 1:
            self.add("first_column", operator, inputs[:1], {})
        else:  # what follows takes the first column alone
            self.rename(operator, inputs)

    def concatenate(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        """Convert a constant column before the others to a padding and a sum."""
        column, features = inputs
        assert operator.builtinOptions.axis in (-2, 2) and self.shape(column)[2] == 1
        output = int(operator.outputs[0])
        padded = f"{output}_padded"
        node = Node(
            operation="pad_column", inputs=(self.name(features),), output=padded, settings={}
        )
        self.nodes.append(node)
        row = np.zeros(self.shape(output)[1:], np.float32)
        row[:, :1] = self.constants[column]
        self.constants[-1 - output] = row
        self.names[output] = str(output)
        settings = {"activation": None}
        node = Node(
            operation="add",
            inputs=(padded, self.name(-1 - output)),
            output=str(output),
            settings=settings,
        )
        self.nodes.append(node)

    def prelu(self, operator: schema.OperatorT, inputs: list[int]) -> None:
        slopes = self.constants[inputs[1]].reshape(-1)
        output = self.add("prelu", operator, inputs[:1], {"channels": len(slopes)})
        self.weights[f"{output}.weight"] = slopes

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
        """Convert to a vector; a row of points that gets a height stays as it is."""
        if len(self.shape(int(operator.outputs[0]))) == 4:
            self.rename(operator, inputs)
            return
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
    "FULLY_CONNECTED": _Reader.fully_connected,
    "RESHAPE": _Reader.flatten,
    "PRELU": _Reader.prelu,
    "SUB": _Reader.subtract,
    "MUL": _Reader.multiply,
    "DIV": _Reader.divide,
    "NEG": _Reader.negate,
    "SQUARED_DIFFERENCE": _Reader.square_difference,
    "SQRT": _Reader.square_root,
    "RSQRT": _Reader.inverse_square_root,
    "MEAN": _Reader.mean,
    "SUM": _Reader.total,
    "TRANSPOSE": _Reader.transpose,
    "STRIDED_SLICE": _Reader.slice,
    "CONCATENATION": _Reader.concatenate,
}
