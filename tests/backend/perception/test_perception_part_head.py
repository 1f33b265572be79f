"""Laws of part maps in few bytes, of the part head, and of parts on their way into the evidence."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
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


def chance(seed=0):
    return np.random.default_rng(seed)


def likely(count=1, seed=0, sharpness=3.0):
    """Made-up probabilities of parts, some sure and some not."""
    logits = sharpness * chance(seed).normal(size=(count, PARTS, 64, 64)).astype(np.float32)
    return torch.from_numpy(logits).softmax(dim=1).numpy()


def made_up_look(count=2, seed=0):
    """A look of the right shapes."""
    rng = chance(seed)

    def some(*shape):
        return rng.uniform(0, 1, (count, *shape)).astype(np.float32)

    maps = FeatureMaps(decoder=some(48, 64, 64), bottleneck=some(272, 8, 8), trunk=some(288, 2, 2))
    return BlazePoseOutput(
        keypoints=256 * some(39, 2),
        peaks=some(39),
        visibility=some(39),
        presence=some(39),
        person=some(),
        world_landmarks=some(39, 3),
        masks=some(256, 256),
        features=some(560),
        maps=maps,
    )


def pictures(count=2, seed=0):
    return chance(seed).integers(0, 256, (count, 256, 256, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def head():
    torch.manual_seed(0)
    return PartHead(SMALL).eval().requires_grad_(False)


@given(st.integers(0, 99))
def test_a_packed_map_keeps_what_is_likeliest(seed):
    probs = likely(seed=seed)
    again = unpack_part_maps(pack_part_maps(probs))
    np.testing.assert_allclose(again.sum(axis=1), 1, atol=0.005)
    np.testing.assert_allclose(again.max(axis=1), probs.max(axis=1), atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(likeliest_part(pack_part_maps(probs)), probs.argmax(axis=1))
    # What is left over is shared by 13 parts, none of which was likelier than the second.
    assert np.abs(again - probs).max() <= np.sort(probs, axis=1)[:, -2].max()


def test_sure_maps_lose_nothing():
    labels = chance().integers(0, PARTS, (64, 64))
    probs = np.moveaxis(np.eye(PARTS, dtype=np.float32)[labels], -1, 0)
    np.testing.assert_array_equal(unpack_part_maps(pack_part_maps(probs)), probs)


def test_the_mirror_of_a_map_is_the_map_of_the_mirror():
    probs = likely()
    turned = np.ascontiguousarray(probs[:, list(PART_MIRROR), :, ::-1])
    np.testing.assert_array_equal(
        unpack_part_maps(mirror_part_maps(pack_part_maps(probs))),
        unpack_part_maps(pack_part_maps(turned)),
    )


def test_exchanging_twice_changes_nothing_and_keeps_to_its_parts():
    parts = pack_part_maps(likely())
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


def test_probabilities_sum_to_one_and_the_batch_does_not_matter(head):
    look, shown = made_up_look(3), pictures(3)
    probs = head.predict(shown, look)
    assert probs.shape == (3, PARTS, 64, 64)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)
    for index in range(3):
        one = head.predict(shown[index : index + 1], _only(look, index))
        np.testing.assert_allclose(one[0], probs[index], atol=1e-5)


def _only(look, index):
    columns = {name: None if v is None else v for name, v in vars(look).items()}
    maps = FeatureMaps(**{name: v[index : index + 1] for name, v in vars(look.maps).items()})
    picked = {
        n: v if v is None or n == "maps" else v[index : index + 1] for n, v in columns.items()
    }
    return BlazePoseOutput(**picked | {"maps": maps})


def test_no_crops_have_no_parts(head):
    look = _only(made_up_look(1), 5)
    assert head.predict(pictures(0), look).shape == (0, PARTS, 64, 64)


def test_the_mask_gates_the_parts(head):
    look = made_up_look(1)
    somebody, nobody = (replace(look, masks=np.full_like(look.masks, p)) for p in (1.0, 0.0))
    shown = pictures(1)
    seen, missed = (head.predict(shown, one)[:, 0].mean() for one in (somebody, nobody))
    assert seen < missed


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("left_forearm", ("left_elbow", "left_wrist")),
        ("right_calf", ("right_knee", "right_ankle")),
        ("left_thigh", ("left_hip", "left_knee")),
    ],
)
def test_a_limb_is_drawn_between_its_keypoints(head, part, names):
    points = torch.from_numpy(chance().uniform(5, 59, (1, 33, 4)).astype(np.float32))
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


def test_hidden_keypoints_draw_nothing(head):
    points = torch.rand(1, 33, 4) * 60
    points[..., 2:] = 0
    assert draw_limbs(points, head.ends).abs().max() == 0


def test_a_head_is_read_back_as_it_was_written(head, tmp_path):
    path = tmp_path / "head.safetensors"
    save_file(head.state_dict(), path)
    path.with_suffix(".json").write_text(
        '{"config": {"widths": [4, 6, 8, 8], "kernel": 5, "borders": 4}}'
    )
    look, shown = made_up_look(1), pictures(1)
    np.testing.assert_array_equal(
        PartHead.load(path).predict(shown, look), head.predict(shown, look)
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
    """An engine that makes up what it is asked for, and keeps count of that."""

    shapes: ClassVar = {
        "landmarks": (195,),
        "heatmaps": (39, 64, 64),
        "presence": (1,),
        "world_landmarks": (117,),
        "mask": (1, 256, 256),
        "decoder": (48, 64, 64),
        "bottleneck": (272, 8, 8),
        "trunk": (288, 2, 2),
    }

    def __init__(self):
        self.asked = []

    def __call__(self, shown, outputs):
        self.asked.append(set(outputs))
        made = {n: chance(5).uniform(0, 50, (len(shown), *self.shapes[n])) for n in outputs}
        return {name: values.astype(np.float32) for name, values in made.items()}


def test_parts_are_told_only_where_they_are_asked_for(head):
    engine, crops = FakeEngine(), np.array([[60.0, 60, 100, 0.3], [70, 60, 90, 0]])
    network = BlazePose(engine)
    image = chance().integers(0, 256, (120, 130, 3), dtype=np.uint8)
    plain = CropDetector(image, network, np.eye(3))(crops)
    told = CropDetector(image, BlazePoseWithParts(network, head), np.eye(3))(crops)
    assert [one.parts for one in plain] == [None, None]
    assert [one.parts.shape for one in told] == [(3, 64, 64)] * 2
    assert engine.asked[1] - engine.asked[0] == {"decoder"}
    assert "decoder" not in engine.asked[0]


def test_a_mirrored_look_tells_the_sides_of_the_person_not_of_the_mirror(head):
    crops = np.array([[60.0, 60, 100, 0.3]])
    image = chance().integers(0, 256, (120, 130, 3), dtype=np.uint8)
    network = BlazePoseWithParts(BlazePose(FakeEngine()), head)
    (told,) = CropDetector(image, network, np.eye(3))(crops, mirrored=True)
    mirror = np.ascontiguousarray(extract_crops(image, crops)[:, :, ::-1])
    np.testing.assert_array_equal(told.parts, mirror_part_maps(network.predict(mirror).parts[0]))


def test_joined_looks_hold_what_each_held():
    looks = [made_up_look(2, seed) for seed in (1, 2)]
    both = concatenate_outputs(looks)
    np.testing.assert_array_equal(both.maps.decoder[2:], looks[1].maps.decoder)
    np.testing.assert_array_equal(both.masks[:2], looks[0].masks)
    assert both.parts is None


def sighting(parts, shift=0.0, seed=0):
    """A person of whom the parts are known."""
    points = chance(seed).uniform(0, 200, (35, 2)) + shift
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
    first, last = (pack_part_maps(likely(seed=seed))[0] for seed in (1, 2))
    person = build_evidence({3: sighting(first), 6: sighting(last)}, np.eye(3), track_id=0)
    np.testing.assert_array_equal(person.parts, np.stack([first, first, last, last]))
    assert build_evidence({3: sighting(None)}, np.eye(3), track_id=0).parts is None


def test_legs_that_are_turned_back_take_their_parts_along():
    parts = pack_part_maps(likely())[0]
    frames = [replace(sighting(parts), features=np.ones(560)) for _ in range(7)]
    order = np.arange(35)
    legs = np.arange(23, 33)
    order[legs] = legs + np.where(legs % 2, 1, -1)
    flipped = replace(frames[3], points=frames[3].points[order])
    frames[3] = flipped
    told = correct_flips(frames, FlipConfig())
    names = tuple(n for n in PART_NAMES if n.endswith(("thigh", "calf", "foot")))
    np.testing.assert_array_equal(told[3].parts, swap_part_sides(parts, names))
    np.testing.assert_array_equal(told[2].parts, parts)
    # What the network thought was of the other leg: it is taken from the frames around.
    assert told[3].features is None
    person = build_evidence(dict(enumerate(told)), np.eye(3), track_id=0)
    np.testing.assert_allclose(person.features, 1)


@pytest.mark.weights
@pytest.mark.skipif(
    not HEAVY.is_file() or not part_head.WEIGHTS_FILE.is_file(), reason="run 'make setup'"
)
def test_the_trained_head_finds_nobody_in_noise_and_is_small():
    network = BlazePoseWithParts(BlazePose.open(FOLDER), PartHead.load())
    parts = network.predict(pictures(2)).parts
    assert (likeliest_part(parts) == 0).mean() > 0.8
    assert part_head.WEIGHTS_FILE.stat().st_size < 3e6


def test_clues_count_cells_from_the_corner():
    look, shown = made_up_look(1), pictures(1)
    clues = part_head.part_head_inputs(shown, look)
    assert isinstance(clues, PartHeadInputs)
    np.testing.assert_allclose(clues.points[0, :, :2], look.keypoints[0, :33] / 4)
    np.testing.assert_allclose(clues.mask[0, 0, 0], look.masks[0, :2, :2].mean(), atol=1e-6)
    np.testing.assert_allclose(
        clues.picture[0, :, 5, 9], shown[0, 10:12, 18:20].mean((0, 1)) / 255, atol=1e-5
    )
