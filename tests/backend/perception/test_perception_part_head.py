"""Laws of packed part maps, of the part head, and of the parts in the evidence."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import BLAZEPOSE_SHAPES
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from hund_backend.body.skeleton import BLAZEPOSE_NAMES, PART_MIRROR, PART_NAMES
from hund_backend.errors import BadInputError
from hund_backend.perception import part_head
from hund_backend.perception.blazepose import (
    BlazePose,
    BlazePoseOutput,
    FeatureMaps,
    concatenate_outputs,
)
from hund_backend.perception.crop_detector import SEGMENTS, CropDetector, Detection
from hund_backend.perception.crops import extract_crops
from hund_backend.perception.flips import FlipConfig, correct_flips
from hund_backend.perception.linking import build_evidence
from hund_backend.perception.packed_part_maps import (
    likeliest_part,
    mirror_part_maps,
    pack_part_maps,
    swap_part_sides,
    unpack_part_maps,
)
from hund_backend.perception.part_head import (
    BlazePoseWithParts,
    PartHead,
    PartHeadConfig,
    PartHeadInputs,
    draw_limbs,
)
from tools.fetch_models import FOLDER

HEAVY = FOLDER / "blazepose_heavy.safetensors"
SMALL = PartHeadConfig(widths=(4, 6, 8, 8), borders=4)
PARTS = len(PART_NAMES)


def generator(seed=0):
    return np.random.default_rng(seed)


def random_probs(count=1, seed=0, sharpness=3.0):
    """Random part probabilities, some near 1 and some not."""
    logits = sharpness * generator(seed).normal(size=(count, PARTS, 64, 64)).astype(np.float32)
    return torch.from_numpy(logits).softmax(dim=1).numpy()


def random_output(count=2, seed=0):
    """BlazePose output of the right shapes with random values."""
    rng = generator(seed)

    def uniform(*shape):
        return rng.uniform(0, 1, (count, *shape)).astype(np.float32)

    maps = FeatureMaps(
        decoder=uniform(48, 64, 64), bottleneck=uniform(272, 8, 8), trunk=uniform(288, 2, 2)
    )
    return BlazePoseOutput(
        keypoints=256 * uniform(39, 2),
        peaks=uniform(39),
        visibility=uniform(39),
        presence=uniform(39),
        person=uniform(),
        world_landmarks=uniform(39, 3),
        masks=uniform(256, 256),
        features=uniform(560),
        maps=maps,
    )


def random_images(count=2, seed=0):
    return generator(seed).integers(0, 256, (count, 256, 256, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def head():
    torch.manual_seed(0)
    return PartHead(SMALL).eval().requires_grad_(False)


@given(st.integers(0, 99))
def test_packing_keeps_the_likeliest_parts(seed):
    probs = random_probs(seed=seed)
    again = unpack_part_maps(pack_part_maps(probs))
    np.testing.assert_allclose(again.sum(axis=1), 1, atol=0.005)
    np.testing.assert_allclose(again.max(axis=1), probs.max(axis=1), atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(likeliest_part(pack_part_maps(probs)), probs.argmax(axis=1))
    # The remainder is shared by 13 parts, none of which was likelier than the second.
    assert np.abs(again - probs).max() <= np.sort(probs, axis=1)[:, -2].max()


def test_certain_maps_are_packed_without_loss():
    labels = generator().integers(0, PARTS, (64, 64))
    probs = np.moveaxis(np.eye(PARTS, dtype=np.float32)[labels], -1, 0)
    np.testing.assert_array_equal(unpack_part_maps(pack_part_maps(probs)), probs)


def test_mirroring_a_packed_map_equals_packing_the_mirrored_map():
    probs = random_probs()
    turned = np.ascontiguousarray(probs[:, list(PART_MIRROR), :, ::-1])
    np.testing.assert_array_equal(
        unpack_part_maps(mirror_part_maps(pack_part_maps(probs))),
        unpack_part_maps(pack_part_maps(turned)),
    )


def test_swapping_twice_changes_nothing_and_affects_only_the_named_parts():
    parts = pack_part_maps(random_probs())
    arms = ("left_forearm", "right_forearm")
    once = swap_part_sides(parts, arms)
    np.testing.assert_array_equal(swap_part_sides(once, arms), parts)
    index = [PART_NAMES.index(name) for name in arms]
    others = [part for part in range(PARTS) if part not in index]
    np.testing.assert_array_equal(
        unpack_part_maps(once)[:, others], unpack_part_maps(parts)[:, others]
    )
    np.testing.assert_array_equal(
        unpack_part_maps(once)[:, index[0]], unpack_part_maps(parts)[:, index[1]]
    )


def test_probabilities_sum_to_one_and_do_not_depend_on_the_batch(head):
    output, images = random_output(3), random_images(3)
    probs = head.predict(images, output)
    assert probs.shape == (3, PARTS, 64, 64)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)
    for index in range(3):
        one = head.predict(images[index : index + 1], _only(output, index))
        np.testing.assert_allclose(one[0], probs[index], atol=1e-5)


def _only(output, index):
    columns = {name: None if v is None else v for name, v in vars(output).items()}
    maps = FeatureMaps(**{name: v[index : index + 1] for name, v in vars(output.maps).items()})
    picked = {
        n: v if v is None or n == "maps" else v[index : index + 1] for n, v in columns.items()
    }
    return BlazePoseOutput(**picked | {"maps": maps})


def test_no_crops_give_no_parts(head):
    output = _only(random_output(1), 5)
    assert head.predict(random_images(0), output).shape == (0, PARTS, 64, 64)


def test_the_mask_gates_the_parts(head):
    output = random_output(1)
    full, empty = (replace(output, masks=np.full_like(output.masks, p)) for p in (1.0, 0.0))
    images = random_images(1)
    with_person, without = (head.predict(images, o)[:, 0].mean() for o in (full, empty))
    assert with_person < without


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("left_forearm", ("left_elbow", "left_wrist")),
        ("right_calf", ("right_knee", "right_ankle")),
        ("left_thigh", ("left_hip", "left_knee")),
    ],
)
def test_a_limb_is_drawn_between_its_keypoints(head, part, names):
    points = torch.from_numpy(generator().uniform(5, 59, (1, 33, 4)).astype(np.float32))
    points[..., 3] = 1
    drawing = draw_limbs(points, head.ends)[0, PART_NAMES.index(part) - 1]
    first, last = (points[0, BLAZEPOSE_NAMES.index(name), :2] for name in names)
    for share in (0.0, 0.5, 1.0):
        column, row = (first + share * (last - first)).int().tolist()
        assert drawing[row, column] > 0.9
    middle = torch.arange(64) + 0.5
    far = (
        torch.stack(torch.meshgrid(middle, middle, indexing="xy"))
        - ((first + last) / 2)[:, None, None]
    )
    beyond = far.norm(dim=0) > (last - first).norm() / 2 + part_head.LINE_WIDTH + 1
    assert drawing[beyond].max() < 0.5


def test_hidden_keypoints_draw_no_limbs(head):
    points = 60 * torch.rand(1, 33, 4, generator=torch.Generator().manual_seed(0))
    points[..., 2:] = 0
    assert draw_limbs(points, head.ends).abs().max() == 0


def test_a_saved_head_is_loaded_unchanged(head, tmp_path):
    path = tmp_path / "head.safetensors"
    save_file(head.state_dict(), path)
    path.with_suffix(".json").write_text(
        '{"config": {"widths": [4, 6, 8, 8], "kernel": 5, "borders": 4}}'
    )
    output, images = random_output(1), random_images(1)
    np.testing.assert_array_equal(
        PartHead.load(path).predict(images, output), head.predict(images, output)
    )


def test_a_missing_or_damaged_head_is_named(head, tmp_path):
    path = tmp_path / "head.safetensors"
    with pytest.raises(BadInputError, match=r"head\.safetensors cannot be read"):
        PartHead.load(path)
    save_file({"output.bias": torch.zeros(PARTS)}, path)
    path.with_suffix(".json").write_text('{"config": {"widths": [4, 6, 8, 8]}}')
    with pytest.raises(BadInputError, match="restore the file"):
        PartHead.load(path)


class FakeEngine:
    """An engine that returns random outputs and records their names."""

    def __init__(self):
        self.requested = []

    def __call__(self, images, outputs):
        self.requested.append(set(outputs))
        arrays = {
            n: generator(5).uniform(0, 50, (len(images), *BLAZEPOSE_SHAPES[n])) for n in outputs
        }
        return {name: values.astype(np.float32) for name, values in arrays.items()}


def test_parts_are_predicted_only_on_request(head):
    engine, crops = FakeEngine(), np.array([[60.0, 60, 100, 0.3], [70, 60, 90, 0]])
    network = BlazePose(engine)
    image = generator().integers(0, 256, (120, 130, 3), dtype=np.uint8)
    plain = CropDetector(image, network, np.eye(3))(crops)
    with_parts = CropDetector(image, BlazePoseWithParts(network, head), np.eye(3))(crops)
    assert [one.parts for one in plain] == [None, None]
    assert [one.parts.shape for one in with_parts] == [(3, 64, 64)] * 2
    assert engine.requested[1] - engine.requested[0] == {"decoder"}
    assert "decoder" not in engine.requested[0]


def test_a_mirrored_crop_gives_the_sides_of_the_person(head):
    crops = np.array([[60.0, 60, 100, 0.3]])
    image = generator().integers(0, 256, (120, 130, 3), dtype=np.uint8)
    network = BlazePoseWithParts(BlazePose(FakeEngine()), head)
    (mirrored,) = CropDetector(image, network, np.eye(3))(crops, mirrored=True)
    mirror = np.ascontiguousarray(extract_crops(image, crops)[:, :, ::-1])
    np.testing.assert_array_equal(
        mirrored.parts, mirror_part_maps(network.predict(mirror).parts[0])
    )


def test_concatenated_outputs_hold_all_batches():
    outputs = [random_output(2, seed) for seed in (1, 2)]
    both = concatenate_outputs(outputs)
    np.testing.assert_array_equal(both.maps.decoder[2:], outputs[1].maps.decoder)
    np.testing.assert_array_equal(both.masks[:2], outputs[0].masks)
    assert both.parts is None


def detection_with(parts, shift=0.0, seed=0):
    """A detection with given parts."""
    points = generator(seed).uniform(0, 200, (35, 2)) + shift
    return Detection(
        crop=np.array([100.0 + shift, 100, 200, 0]),
        points=points,
        confidence=np.ones(33),
        world_landmarks=np.zeros((33, 3)),
        quality=0.9,
        colors=np.zeros((len(SEGMENTS), 3)),
        mask=np.zeros((64, 64), np.uint8),
        parts=parts,
    )


def test_evidence_holds_the_parts_of_the_nearest_frame():
    first, last = (pack_part_maps(random_probs(seed=seed))[0] for seed in (1, 2))
    person = build_evidence(
        {3: detection_with(first), 6: detection_with(last)}, np.eye(3), track_id=0
    )
    np.testing.assert_array_equal(person.parts, np.stack([first, first, last, last]))
    assert build_evidence({3: detection_with(None)}, np.eye(3), track_id=0).parts is None


def test_corrected_flips_swap_the_parts_too():
    parts = pack_part_maps(random_probs())[0]
    frames = [replace(detection_with(parts), features=np.ones(560)) for _ in range(7)]
    order = np.arange(35)
    legs = np.arange(23, 33)
    order[legs] = legs + np.where(legs % 2, 1, -1)
    flipped = replace(frames[3], points=frames[3].points[order])
    frames[3] = flipped
    corrected = correct_flips(frames, FlipConfig())
    names = tuple(n for n in PART_NAMES if n.endswith(("thigh", "calf", "foot")))
    np.testing.assert_array_equal(corrected[3].parts, swap_part_sides(parts, names))
    np.testing.assert_array_equal(corrected[2].parts, parts)
    # The features belong to the other leg: they are interpolated from the frames around.
    assert corrected[3].features is None
    person = build_evidence(dict(enumerate(corrected)), np.eye(3), track_id=0)
    np.testing.assert_allclose(person.features, 1)


@pytest.mark.weights
@pytest.mark.skipif(
    not HEAVY.is_file() or not part_head.WEIGHTS_FILE.is_file(), reason="run 'make setup'"
)
def test_the_trained_head_predicts_background_in_noise_and_is_small():
    network = BlazePoseWithParts(BlazePose.open(FOLDER), PartHead.load())
    parts = network.predict(random_images(2)).parts
    assert (likeliest_part(parts) == 0).mean() > 0.8
    assert part_head.WEIGHTS_FILE.stat().st_size < 3e6


def test_inputs_count_cells_from_the_corner():
    output, images = random_output(1), random_images(1)
    inputs = part_head.part_head_inputs(images, output)
    assert isinstance(inputs, PartHeadInputs)
    np.testing.assert_allclose(inputs.points[0, :, :2], output.keypoints[0, :33] / 4)
    np.testing.assert_allclose(inputs.mask[0, 0, 0], output.masks[0, :2, :2].mean(), atol=1e-6)
    np.testing.assert_allclose(
        inputs.picture[0, :, 5, 9], images[0, 10:12, 18:20].mean((0, 1)) / 255, atol=1e-5
    )
