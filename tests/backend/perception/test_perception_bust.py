"""Laws of people whom the frame cuts off above the hips."""

import numpy as np

from hund_backend.perception.bust import (
    ARMS,
    HEAD_AND_SHOULDERS,
    HIPS,
    MID_HIP,
    SHOULDERS,
    quality_of_bust,
    release_guessed_limbs,
)


def test_head_and_shoulders_in_the_frame_are_somebody_who_is_cut_off():
    points, peaks = np.full((4, 35, 2), 150.0), np.full((4, 35), 0.1)
    points[:, HEAD_AND_SHOULDERS], peaks[:, HEAD_AND_SHOULDERS] = 50, 0.95
    peaks[1, HEAD_AND_SHOULDERS] = 0.4  # hardly found
    points[2, MID_HIP] = 50  # the frame does not cut it off
    points[3, HEAD_AND_SHOULDERS] = 150  # outside, too
    bust, doubtful, whole, outside = quality_of_bust(points, peaks, (100, 100))
    assert 0.65 < bust < 0.95
    assert doubtful < 0.42
    assert whole == outside == 0


def test_arms_out_of_view_hang_and_seen_ones_stay():
    rng = np.random.default_rng(0)
    points, landmarks = rng.normal(size=(33, 2)), rng.normal(size=(33, 3))
    confidence = np.full(33, 0.9)
    left, right = (list(arm) for arm in ARMS)
    confidence[left] = 0.2
    confidence[right] = (0.2, 0.8, 0.8, 0.8, 0.8)  # the wrist is seen
    before = points.copy(), landmarks.copy()
    release_guessed_limbs(points, landmarks, confidence)
    assert not confidence[left].any() and confidence[right[1]] == 0.8
    for place, was in zip((points, landmarks), before, strict=True):
        kept = np.setdiff1d(np.arange(33), left)
        np.testing.assert_array_equal(place[kept], was[kept])
        trunk = place[HIPS].mean(axis=0) - place[SHOULDERS].mean(axis=0)
        along = (place[left] - place[SHOULDERS[0]]) @ trunk / (trunk @ trunk)
        assert 0 < along[0] < along[1] < 1.5  # elbow, wrist
        off = place[left] - place[SHOULDERS[0]] - along[:, None] * trunk
        np.testing.assert_allclose(off, 0, atol=1e-9)
