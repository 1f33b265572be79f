"""Laws of MoveNet's decoding, and of its network where it is fetched."""

import numpy as np
import pytest

from hund_backend.perception.movenet import (
    MAP_SIZE,
    NEARNESS_CELLS,
    OUTPUTS,
    STRIDE_PX,
    MoveNet,
    decode_heads,
)
from hund_backend.weights_file import WEIGHTS

FOLDER = WEIGHTS / "perception"
FETCHED = (FOLDER / "movenet_thunder.safetensors").exists()


def random_heads(rng, crops=3):
    channels = {"center": 1, "heatmaps": 17, "keypoints": 34, "offsets": 34}
    heads = {
        name: rng.normal(0, 2, (crops, count, MAP_SIZE, MAP_SIZE)).astype(np.float32)
        for name, count in channels.items()
    }
    heads["keypoints"] *= 8
    return heads


def decode_naively(heads, crop):
    """The published graph, cell by cell."""

    def best(weights, row, column):
        scored = {
            (y, x): weights[y, x] / (np.hypot(y - row, x - column) + NEARNESS_CELLS)
            for y, x in np.ndindex(MAP_SIZE, MAP_SIZE)
        }
        return max(scored, key=scored.get)

    def probability(logits):
        return 1 / (1 + np.exp(-logits.astype(float)))

    y, x = best(probability(heads["center"][crop, 0]), MAP_SIZE / 2, MAP_SIZE / 2)
    points, scores = [], []
    for keypoint in range(17):
        down, right = heads["keypoints"][crop, 2 * keypoint : 2 * keypoint + 2, y, x]
        maps = probability(heads["heatmaps"][crop, keypoint])
        row, column = best(maps, y + down, x + right)
        down, right = heads["offsets"][crop, 2 * keypoint : 2 * keypoint + 2, row, column]
        points.append((STRIDE_PX * (column + right), STRIDE_PX * (row + down)))
        scores.append(maps[row, column])
    return np.array(points), np.array(scores)


def test_decoding_equals_the_published_graph_cell_by_cell():
    heads = random_heads(np.random.default_rng(0))
    output = decode_heads(heads)
    for crop in range(3):
        points, scores = decode_naively(heads, crop)
        np.testing.assert_allclose(output.keypoints[crop], points, atol=1e-3)
        np.testing.assert_allclose(output.scores[crop], scores, atol=1e-5)


def test_the_person_nearest_to_the_middle_is_taken():
    heads = {
        name: np.zeros_like(a) for name, a in random_heads(np.random.default_rng(0), 1).items()
    }
    heads["center"] -= 9
    heads["heatmaps"] -= 9
    for row, column in ((33, 30), (10, 50)):  # both as clear
        heads["center"][0, 0, row, column] = 9
        heads["heatmaps"][0, :, row, column] = 9
    output = decode_heads(heads)
    np.testing.assert_array_equal(output.keypoints[0], [[30 * STRIDE_PX, 33 * STRIDE_PX]] * 17)


class Stub:
    """An engine with random heads."""

    def __call__(self, images, outputs):
        assert outputs == OUTPUTS
        return random_heads(np.random.default_rng(0), len(images))


@pytest.mark.parametrize("count", [0, 1, 17])
def test_every_crop_has_keypoints_and_probabilities(count):
    output = MoveNet(Stub()).predict(np.zeros((count, 256, 256, 3), np.uint8))
    assert output.keypoints.shape == (count, 17, 2)
    assert ((output.scores >= 0) & (output.scores <= 1)).all()


@pytest.mark.skipif(not FETCHED, reason="run 'make setup' to fetch the networks")
def test_the_network_agrees_with_itself_on_other_engines_and_batches():
    from hund_backend.perception.engine import TorchEngine
    from hund_backend.perception.graph import load_network

    images = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), np.uint8)
    onnx = MoveNet.open(FOLDER)
    torch = MoveNet(TorchEngine(load_network(FOLDER / "movenet_thunder.safetensors"), "cpu"))
    planes = images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    first, second = (network.engine(planes, OUTPUTS) for network in (onnx, torch))
    for name in OUTPUTS:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-3, atol=1e-2)
        alone = onnx.engine(planes[1:], (name,))[name]
        np.testing.assert_allclose(first[name][1:], alone, rtol=1e-3, atol=1e-2)
