"""Laws of the person detector, without its network."""

import numpy as np
import pytest

from hund_backend.perception.person_detector import (
    OUTPUTS,
    STRIDE_PX,
    PersonBoxes,
    PersonDetector,
    PersonDetectorConfig,
    decode_heads,
    iou,
    non_maximum_suppression,
)


def heads(cells, size=16):
    """Outputs of the network for one person a cell: boxes of 4 x 6 cells, upright keypoints."""
    maps = {
        "center": np.full((1, size, size), -9, np.float32),
        "box_scale": np.zeros((2, size, size), np.float32),
        "box_offset": np.zeros((2, size, size), np.float32),
        "keypoints": np.zeros((34, size, size), np.float32),
    }
    for strength, (row, column) in enumerate(cells, start=1):
        maps["center"][0, row, column] = strength
        maps["box_scale"][:, row, column] = (6, 4)
        maps["keypoints"][[10, 12], row, column] = -2  # y of both shoulders
    return maps


class Stub:
    """An engine that detects a person in the middle of any image."""

    def __call__(self, images, outputs):
        size = images.shape[2] // STRIDE_PX
        maps = heads([(size // 2, size // 2)], size)
        return {name: np.stack([maps[name]] * len(images)) for name in outputs}


def people(boxes, confidence):
    count = len(boxes)
    return PersonBoxes(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        confidence=np.array(confidence, np.float32),
        keypoints=np.zeros((count, 17, 2), np.float32),
    )


def test_a_person_is_detected_at_the_maximum_of_the_center_map():
    found = decode_heads(heads([(8, 5)]), min_confidence=0.5)
    np.testing.assert_allclose(found.boxes, [[12, 20, 28, 44]])
    np.testing.assert_allclose(found.angles, 0, atol=1e-6)


def test_an_upside_down_trunk_has_an_angle_of_half_a_turn():
    maps = heads([(8, 5)])
    maps["keypoints"] *= -1
    np.testing.assert_allclose(
        np.abs(decode_heads(maps, min_confidence=0.5).angles), np.pi, atol=1e-6
    )


def test_two_people_apart_are_both_detected():
    assert (
        len(
            non_maximum_suppression(
                decode_heads(heads([(4, 4), (12, 12)]), 0.5), max_iou=0.5
            ).boxes
        )
        == 2
    )


def test_an_empty_map_gives_no_people():
    assert decode_heads(heads([]), min_confidence=0.5).boxes.shape == (0, 4)


def test_suppression_keeps_the_most_confident_and_is_idempotent():
    generator = np.random.default_rng(0)
    low = generator.uniform(0, 50, (40, 2))
    boxes = np.hstack([low, low + generator.uniform(5, 40, (40, 2))])
    once = non_maximum_suppression(people(boxes, generator.random(40)), max_iou=0.4)
    twice = non_maximum_suppression(once, max_iou=0.4)
    np.testing.assert_array_equal(once.boxes, twice.boxes)
    assert (np.diff(once.confidence) <= 0).all()
    for number, box in enumerate(once.boxes):
        assert (iou(box, once.boxes[number + 1 :]) <= 0.4).all()


def test_overlap_of_a_box_with_itself_is_one():
    box = np.array([1, 2, 5, 9], np.float32)
    np.testing.assert_allclose(iou(box, box[None]), 1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (2000, 3), (40, 30)])
def test_images_of_any_shape_give_boxes_inside_them(shape):
    detector = PersonDetector(Stub(), PersonDetectorConfig())
    (found,) = detector.detect([np.zeros((*shape, 3), np.uint8)])
    boxes = found.boxes
    assert boxes.shape[1] == 4 and found.confidence.shape == (len(boxes),)
    assert (boxes[:, :4] >= 0).all() and (boxes[:, [0, 2]] <= shape[1]).all()
    assert (boxes[:, [1, 3]] <= shape[0]).all()


def test_no_images_give_no_results():
    assert PersonDetector(Stub(), PersonDetectorConfig()).detect([]) == []


def test_the_detector_requests_the_outputs_that_it_decodes():
    assert set(heads([])) == set(OUTPUTS)
