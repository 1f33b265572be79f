"""Flights: found between contacts where a person falls, and what they say of the size."""

import numpy as np
import pytest

from hund_backend.body.center_of_mass import GRAVITY, mass_weights
from hund_backend.body.skeleton import JOINT_NAMES
from hund_backend.motion.flight import find_flights

UP = np.array([0.0, -1.0, 0.0])


def jump(fps=30.0, gravity=GRAVITY, flight=0.5, total=1.5):
    """A person whose joints move as one: stands, jumps, stands; contacts and times."""
    times = np.arange(0, total, 1 / fps)
    start = (total - flight) / 2
    inside = (times > start) & (times < start + flight)
    rise = 0.5 * gravity * (times - start) * (start + flight - times) * inside
    joints = np.tile(np.array([0.0, 0.5, 5.0]), (len(times), len(JOINT_NAMES), 1))
    joints[..., 1] -= rise[:, None]
    bearing = np.where(inside[:, None], 0.05, 0.95) * np.ones((1, 12))
    return joints, np.ones(len(times), dtype=bool), bearing, times, inside


def test_weights_of_the_center_of_mass_sum_to_one_and_mirror():
    weights = mass_weights(JOINT_NAMES)
    assert weights.sum() == pytest.approx(1)
    for name in ("Thigh", "Hand"):
        assert weights[JOINT_NAMES.index(f"{name}L")] == weights[JOINT_NAMES.index(f"{name}R")]


@pytest.mark.parametrize("fps", [24.0, 30.0, 120.0])
def test_a_jump_is_a_flight_at_any_frame_rate(fps):
    joints, present, bearing, times, inside = jump(fps)
    flights = find_flights(joints, present, bearing, UP, times)
    assert (flights.airborne[inside] > 0.9).all()
    assert (flights.airborne[~inside] == 0).all()
    assert flights.size == pytest.approx(1, abs=0.01)


def test_who_falls_too_slowly_is_larger_and_farther():
    """Somebody taken for 10 % too small falls with 90 % of gravity."""
    joints, present, bearing, times, _ = jump(gravity=0.9 * GRAVITY, flight=0.7)
    assert 1.04 < find_flights(joints, present, bearing, UP, times).size < 1.12


def test_who_hangs_or_leaves_the_picture_does_not_fly():
    joints, present, bearing, times, _ = jump(gravity=0.0)
    flights = find_flights(joints, present, bearing, UP, times)
    assert flights.airborne.max() < 0.05
    assert flights.size == pytest.approx(1, abs=0.02)
    joints, present, bearing, times, inside = jump()
    present[np.flatnonzero(inside)[-1] + 1] = False
    assert not find_flights(joints, present, bearing, UP, times).airborne.any()
