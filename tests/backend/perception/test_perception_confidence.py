"""Laws of the keypoint confidence."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hund_backend.perception.confidence import keypoint_confidence

PROBABILITY = st.floats(0, 1)


def confidence(peak, visibility, quality):
    table = keypoint_confidence(np.array([[peak]]), np.array([[visibility]]), np.array([quality]))
    return table.item()


@given(PROBABILITY, PROBABILITY, PROBABILITY)
def test_confidence_is_a_probability(peak, visibility, quality):
    assert 0 <= confidence(peak, visibility, quality) <= 1


@given(*[PROBABILITY] * 6)
def test_confidence_increases_with_each_input(a, b, c, d, e, f):
    lower = [min(pair) for pair in ((a, b), (c, d), (e, f))]
    upper = [max(pair) for pair in ((a, b), (c, d), (e, f))]
    assert confidence(*lower) <= confidence(*upper) + 1e-12


def test_clear_keypoints_are_confident_and_missing_ones_are_not():
    assert confidence(0.95, 0.99, 0.9) > 0.95
    assert confidence(0.1, 0.1, 0.3) < 0.05
