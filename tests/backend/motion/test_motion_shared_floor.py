"""Shared floor: people of the same ground stand on one plane."""

import numpy as np
import pytest

from hund_backend.motion.shared_floor import (
    LEAST_DROP,
    SAME_FLOOR,
    joined_floors,
    sizes_on_shared_floor,
)

RNG = np.random.default_rng(5)


def spread(floors):
    return float(np.ptp(floors))


@pytest.mark.parametrize("camera", [-1.5, -2.5, 1.2])  # floor below or above the camera
def test_floors_come_together(camera):
    for errors in 0.05 * RNG.standard_normal((20, 4)).clip(-1.2, 1.2):
        floors = camera * (1 + errors)
        moved = floors * sizes_on_shared_floor(tuple(floors), main=0)
        assert spread(moved) < 0.6 * spread(floors)


def test_sizes_are_nearer_to_the_truth_in_the_mean():
    before, after = [], []
    for errors in 0.05 * RNG.standard_normal((200, 2)):
        floors = -1.6 * (1 + errors) + 0.01 * RNG.standard_normal(2)
        sizes = (1 + errors) * sizes_on_shared_floor(tuple(floors), main=1)
        before.append(np.abs(errors).mean())
        after.append(np.abs(sizes - 1).mean())
    assert np.mean(after) < 0.9 * np.mean(before)


def test_equal_floors_change_nothing():
    np.testing.assert_allclose(sizes_on_shared_floor((-1.5, -1.5, -1.5), main=2), 1.0)


@pytest.mark.parametrize(
    "floors",
    [
        (-1.5,),  # alone
        (-1.5, -0.9),  # one stands on a platform
        (-LEAST_DROP / 2, -LEAST_DROP / 2.2),  # the camera lies on the floor
        (-1.5, 1.5),  # one is above the camera
        (-1.5, 0.0),
    ],
)
def test_other_ground_is_left_alone(floors):
    np.testing.assert_array_equal(sizes_on_shared_floor(floors, main=0), 1.0)


def test_who_is_on_other_ground_does_not_move_the_others():
    alone = sizes_on_shared_floor((-1.5, -1.6), main=0)
    beside = sizes_on_shared_floor((-1.5, -1.6, -0.4), main=0)
    np.testing.assert_allclose(beside[:2], alone)
    assert beside[2] == 1.0


def test_order_does_not_matter():
    floors = (-1.5, -1.6, -1.45)
    sizes = sizes_on_shared_floor(floors, main=0)
    turned = sizes_on_shared_floor(floors[::-1], main=2)
    np.testing.assert_allclose(turned[::-1], sizes)


def test_floors_near_the_clip_s_are_one_and_others_stay():
    level, near, roof = -2.0, -2.0 + 0.6 * SAME_FLOOR, 0.3
    assert joined_floors([near, level, roof], level) == (level, level, roof)
