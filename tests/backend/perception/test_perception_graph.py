"""Laws of the graph format and of both engines."""

import numpy as np
import pytest
import torch

from hund_backend.errors import BadInputError
from hund_backend.perception.engine import OnnxEngine, TorchEngine
from hund_backend.perception.graph import INPUT, Graph, Network, Node, load_network, pack_network
from tools.write_onnx import write_onnx

OUTPUTS = ("image_like", "vector", "mixed", "mean")


def convolution(name, source, into, out, *, kernel=3, stride=1, padding=(1, 1, 1, 1), groups=1):
    settings = {
        "channels": (into, out),
        "kernel": (kernel, kernel),
        "stride": stride,
        "padding": padding,
        "groups": groups,
        "activation": {"1": "relu6", "2": "relu"}.get(name),
    }
    return Node(operation="convolution", inputs=(source,), output=name, settings=settings)


def node(operation, name, *sources, **settings):
    return Node(operation=operation, inputs=sources, output=name, settings=settings)


@pytest.fixture(scope="module")
def every_operation():
    """A graph with every operation, an asymmetric padding and a residual connection."""
    nodes = (
        convolution("1", INPUT, 3, 4, stride=2, padding=(0, 1, 0, 1)),
        convolution("2", "1", 4, 4, groups=4),
        node("add", "3", "2", "1", activation="relu6"),
        node("pad_channels", "4", "3", count=2),
        node("max_pool", "5", "4", kernel=2, stride=2),
        convolution("6", "5", 6, 6, kernel=1, padding=(0, 0, 0, 0)),
        node("resize", "7", "6", factor=2.0),
        node("add", "8", "7", "4", activation=None),
        node("sigmoid", "9", "8"),
        node("flatten", "10", "5"),
        node("constant", "11", shape=(6, 1, 1)),
        node("combine", "12", "5", "11", function="multiply"),
        node("combine", "13", "12", "5", function="subtract"),
        node("combine", "14", "13", "13", function="multiply"),
        node("reduce", "15", "14", function="sum", axis=1),
        node("reduce", "16", "15", function="mean", axis=3),
        node("function", "17", "16", function="square_root"),
        node("function", "18", "16", function="inverse_square_root"),
        node("combine", "19", "13", "17", function="divide"),
        node("add", "20", "19", "18", activation=None),
        node("prelu", "21", "20", channels=6),
        node("pad_column", "22", "21"),
        node("columns_as_channels", "23", "22"),
        node("first_column", "24", "23"),
        node("flatten", "25", "24"),
        node("mean", "26", "8"),
    )
    outputs = {"image_like": "9", "vector": "10", "mixed": "25", "mean": "26"}
    graph = Graph(input_shape=(3, 16, 16), nodes=nodes, outputs=outputs)
    generator = np.random.default_rng(0)
    weights = {}
    for name, tensor in Network(graph).state_dict().items():
        values = generator.normal(0, 0.4, tensor.shape)
        half = name.endswith("1.weight")  # that tensor is exact in half precision, others not
        weights[name.removeprefix("layers.")] = values.astype(np.float16 if half else np.float32)
    return graph, weights


@pytest.fixture
def network(every_operation, tmp_path):
    path = tmp_path / "network.safetensors"
    path.write_bytes(pack_network(*every_operation))
    return load_network(path)


@pytest.fixture
def images():
    return np.random.default_rng(1).random((3, 3, 16, 24), dtype=np.float32)


def naive_convolution(image, weight, bias, stride, padding, groups):
    left, right, top, bottom = padding
    padded = np.pad(image, ((0, 0), (top, bottom), (left, right)))
    out, into, height, width = weight.shape
    rows = (padded.shape[1] - height) // stride + 1
    columns = (padded.shape[2] - width) // stride + 1
    result = np.zeros((out, rows, columns))
    for channel, row, column in np.ndindex(result.shape):
        first = channel // (out // groups) * into
        y, x = row * stride, column * stride
        window = padded[first : first + into, y : y + height, x : x + width]
        result[channel, row, column] = (window * weight[channel]).sum() + bias[channel]
    return result


@pytest.mark.parametrize("name", ["1", "2", "6"])
def test_a_convolution_is_the_sum_over_its_windows(every_operation, network, images, name):
    graph, weights = every_operation
    (node,) = (node for node in graph.nodes if node.output == name)
    inner = network(torch.from_numpy(images[:1]), taps=(*node.inputs, name))
    settings = {key: node.settings[key] for key in ("stride", "padding", "groups")}
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    expected = naive_convolution(inner[node.inputs[0]][0].numpy(), weight, bias, **settings)
    limits = {"relu6": (0, 6), "relu": (0, np.inf), None: (-np.inf, np.inf)}
    expected = expected.clip(*limits[node.settings["activation"]])
    np.testing.assert_allclose(inner[name][0].numpy(), expected, atol=1e-5)


def test_upsampling_interpolates_between_neighbors(network, images):
    inner = network(torch.from_numpy(images), taps=("6", "7"))
    small, large = inner["6"].numpy(), inner["7"].numpy()
    beside = 0.75 * small + 0.25 * np.roll(small, 1, axis=3)  # of every left half, but the first
    above = 0.75 * beside + 0.25 * np.roll(beside, 1, axis=2)
    np.testing.assert_allclose(large[:, :, 2::2, 2::2], above[:, :, 1:, 1:], atol=1e-5)


def test_a_mean_is_over_height_and_width(network, images):
    inner = network(torch.from_numpy(images), taps=("8",))
    expected = inner["8"].numpy().mean(axis=(2, 3))[..., None, None]
    np.testing.assert_allclose(inner["mean"].numpy(), expected, atol=1e-5)


def test_outputs_do_not_depend_on_the_batch(network, images):
    together = network(torch.from_numpy(images))
    for number in range(len(images)):
        alone = network(torch.from_numpy(images[number : number + 1]))
        for name in OUTPUTS:
            torch.testing.assert_close(together[name][number], alone[name][0])


def test_taps_do_not_change_the_outputs(network, images):
    plain = network(torch.from_numpy(images))
    names = tuple(node.output for node in network.graph.nodes)
    tapped = network(torch.from_numpy(images), taps=names)
    assert set(tapped) == {*OUTPUTS, *names}
    for name in OUTPUTS:
        torch.testing.assert_close(plain[name], tapped[name], rtol=0, atol=0)


def test_gradients_reach_the_image(network):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 8, 8, generator=generator, dtype=torch.float64)
    image.requires_grad_()
    exact = network.double()
    assert torch.autograd.gradcheck(lambda inside: exact(inside)["image_like"], (image,))


def test_both_engines_give_the_same_outputs(every_operation, network, images, tmp_path):
    packed = (tmp_path / "network.safetensors").read_bytes()
    path = tmp_path / "network.onnx"
    path.write_bytes(write_onnx(packed, "network.safetensors"))
    first = TorchEngine(network, "cpu")(images, OUTPUTS)
    second = OnnxEngine(path, threads=1)(images, OUTPUTS)
    for name in OUTPUTS:
        assert first[name].dtype == second[name].dtype == np.float32
        np.testing.assert_allclose(first[name], second[name], atol=1e-5)


def test_an_engine_returns_only_the_requested_outputs(network, images):
    assert list(TorchEngine(network, "cpu")(images, ("vector",))) == ["vector"]


def test_equal_networks_give_equal_bytes(every_operation):
    graph, weights = every_operation
    shuffled = dict(reversed(weights.items()))
    packed = pack_network(graph, shuffled)
    assert packed == pack_network(graph, weights)
    assert write_onnx(packed, "a.safetensors") == write_onnx(packed, "a.safetensors")


def test_packing_is_lossless(every_operation, network):
    _, weights = every_operation
    for name, tensor in network.state_dict().items():
        original = weights[name.removeprefix("layers.")].astype(np.float32)
        np.testing.assert_array_equal(tensor.numpy(), original)


def test_graph_json_round_trip(every_operation):
    graph, _ = every_operation
    again = Graph.from_json(graph.to_json())
    assert again.to_json() == graph.to_json()


def damaged(packed, how):
    if how == "truncated":
        return packed[: len(packed) // 2]
    if how == "text":
        return b"this is no network"
    if how == "another format":
        return packed.replace(b"hund-graph/1", b"hund-graph/9")
    return b""


@pytest.mark.parametrize("how", ["truncated", "text", "another format", "empty"])
def test_a_damaged_network_is_reported_in_one_sentence(every_operation, tmp_path, how):
    path = tmp_path / "network.safetensors"
    path.write_bytes(damaged(pack_network(*every_operation), how))
    with pytest.raises(BadInputError, match=r"network\.safetensors.*make setup"):
        load_network(path)
