"""Laws of the demo's picture: which frame it shows."""

from types import SimpleNamespace

import numpy as np

from tools.demo import best_frame

SQUARE = np.array([(0.0, 0), (20, 0), (20, 60), (0, 60)])


def clip(places, present, confidence=0.9):
    """People of 20 x 60 px by the corner of their boxes (people frames 2)."""
    places, present = np.array(places, float), np.array(present, bool)
    confidence = np.broadcast_to(confidence, present.shape).astype(float)
    return SimpleNamespace(
        fps=10.0,
        image_size=(200, 100),
        present=present,
        joint_confidence=np.repeat(confidence[..., None], 5, axis=-1),
        keypoints=np.concatenate(
            (places[:, :, None] + SQUARE, np.ones((*present.shape, 4, 1))), axis=-1
        ),
    )


def test_people_who_stand_apart_and_whole_are_shown():
    first = [(10.0 * frame, 20) for frame in range(12)]
    second = [(90 - 10.0 * frame, 20) for frame in range(12)]  # passes the first, leaves the frame
    assert best_frame(clip([first, second], np.ones((2, 12)))) in (0, 1, 2, 3, 6, 7, 8, 9)


def test_more_people_count_more():
    present = np.ones((2, 12))
    present[1, :8] = 0
    assert best_frame(clip([[(10, 20)] * 12, [(100, 20)] * 12], present)) >= 8


def test_somebody_who_appears_for_one_frame_is_not_shown_off():
    present = np.ones((2, 12))
    present[1] = 0
    present[1, 5] = 1
    confidence = np.full((2, 12), 0.8)
    confidence[0, 9] = 0.9
    assert best_frame(clip([[(10, 20)] * 12, [(100, 20)] * 12], present, confidence)) == 9
