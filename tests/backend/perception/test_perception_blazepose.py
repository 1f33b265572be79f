"""Laws of BlazePose's decoding; with the fetched weights, agreement with the original runtime."""

import tarfile
import warnings

import numpy as np
import pytest
from scipy.special import expit

from hund_backend.perception.blazepose import NUM_POINTS, BlazePose, refine_landmarks
from hund_backend.perception.engine import TorchEngine, open_engine
from hund_backend.perception.graph import load_network
from tools.fetch_models import FOLDER, POSE, cache_folder

HEAVY = FOLDER / "blazepose_heavy.safetensors"
needs_weights = pytest.mark.skipif(not HEAVY.is_file(), reason="run 'make setup' to fetch them")


def naive_refine_landmarks(landmarks, heatmaps):
    """MediaPipe's calculator, point by point."""
    refined = landmarks.copy()
    for crop, point in np.ndindex(landmarks.shape[:2]):
        column, row = (int(value / 256 * 64) for value in landmarks[crop, point])
        if not (0 <= column < 64 and 0 <= row < 64):
            continue
        rows = range(max(row - 3, 0), min(row + 4, 64))
        columns = range(max(column - 3, 0), min(column + 4, 64))
        mass = expit(heatmaps[crop, point][np.ix_(rows, columns)].astype(np.float64))
        if mass.max() >= 0.5:
            x = (mass.sum(axis=0) * columns).sum() / mass.sum()
            y = (mass.sum(axis=1) * rows).sum() / mass.sum()
            refined[crop, point] = (4 * x, 4 * y)
    return refined


def figure_images(count):
    """Upright figures of ellipses on a gradient: enough like people to change every output."""
    y, x = np.mgrid[:256, :256]
    background = np.stack([x, y, 255 - x], axis=-1)
    figure = np.zeros((256, 256), bool)
    parts = [(128, 45, 18, 22), (128, 105, 30, 45), (112, 190, 13, 55), (146, 190, 13, 55)]
    for cx, cy, rx, ry in parts:
        figure |= ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1
    image = np.where(figure[..., None], (200, 150, 120), background)
    return np.stack([np.roll(image, 9 * number, axis=1) for number in range(count)]).astype(
        "uint8"
    )


def test_refinement_equals_the_calculator_point_by_point():
    generator = np.random.default_rng(0)
    landmarks = generator.uniform(-20, 276, (3, NUM_POINTS, 2)).astype(np.float32)
    heatmaps = generator.normal(-3, 3, (3, NUM_POINTS, 64, 64)).astype(np.float32)
    expected = naive_refine_landmarks(landmarks, heatmaps)
    np.testing.assert_allclose(refine_landmarks(landmarks, heatmaps), expected, atol=1e-3)


def test_a_flat_heat_map_moves_no_landmark():
    landmarks = np.full((1, NUM_POINTS, 2), 100.5, np.float32)
    heatmaps = np.full((1, NUM_POINTS, 64, 64), -5, np.float32)
    np.testing.assert_array_equal(refine_landmarks(landmarks, heatmaps), landmarks)


@pytest.mark.weights
@needs_weights
def test_probabilities_are_in_range_and_no_crops_give_no_output():
    blazepose = BlazePose.open(FOLDER)
    output = blazepose.predict(figure_images(2))
    for name in ("peaks", "visibility", "presence", "person", "masks"):
        values = getattr(output, name)
        assert (values >= 0).all() and (values <= 1).all()
    assert np.isfinite(output.features).all()
    assert blazepose.predict(figure_images(2)[:0]).keypoints.shape == (0, NUM_POINTS, 2)


@pytest.mark.weights
@needs_weights
def test_both_engines_agree_with_the_original_runtime():
    archive = cache_folder() / POSE.archive
    if not archive.is_file():
        pytest.skip("the package of the network is not in the cache")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the runtime's own
        from ai_edge_litert.interpreter import Interpreter
    with tarfile.open(archive) as file:
        tflite = file.extractfile("package/pose_landmark_heavy.tflite").read()
    runtime = Interpreter(model_content=tflite, num_threads=1)
    runtime.allocate_tensors()
    images = figure_images(1).astype(np.float32) / 255
    runtime.set_tensor(runtime.get_input_details()[0]["index"], images)
    runtime.invoke()
    expected = runtime.get_tensor(runtime.get_output_details()[0]["index"]).reshape(39, 5)
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    engines = (TorchEngine(load_network(HEAVY), "cpu"), open_engine(FOLDER, HEAVY.stem, "cpu"))
    for engine in engines:
        landmarks = engine(planes, ("landmarks",))["landmarks"].reshape(39, 5)
        # Pixels of 256: 0.0006 here with each instruction set; other sums may round otherwise.
        assert np.abs(landmarks[:, :2] - expected[:, :2]).max() < 1e-2
