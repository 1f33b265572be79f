"""Laws of the forecast: the bar only grows, the time left is right for even work, nobody knows too soon."""

import pytest
from bl_ext.user_default.hund.bridge import forecast


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is put forward."""
    now = [100.0]
    monkeypatch.setattr(forecast.time, "monotonic", lambda: now[0])
    return now


def told(clock, people=2, frames=10, seconds=1.0, posing=20, learning=0):
    """What a steady backend says, and the forecast after it."""
    made = forecast.Forecast(float(learning))
    stages = [("load", 0, None), *(("detect", done, frames) for done in range(1, frames + 1))]
    for person in range(1, people + 1) if learning else ():
        steps = learning // people
        stages += [(f"adapt {person}/{people}", step, 3 * steps) for step in range(1, steps + 1)]
    for person in range(1, people + 1):
        stages += [(f"pose {person}/{people}", step, None) for step in range(posing // people)]
    for stage in stages:
        made.hear(*stage)
        yield made
        clock[0] += seconds


@pytest.mark.parametrize("learning", [0, 6, 60])
def test_the_bar_only_grows_and_is_full_at_the_end_only(clock, learning):
    shares = [made.share for made in told(clock, learning=learning)]
    assert shares == sorted(shares)
    assert 0 < shares[0] and shares[-1] < 1


def test_nobody_knows_the_time_before_the_first_frame_or_when_posing_takes_longer(clock):
    left = [made.seconds_left for made in told(clock)]
    assert left[:2] == [None, None] and None not in left[2:12]
    assert left[-1] is None


def test_looking_at_an_even_pace_is_foreseen_exactly(clock):
    left = [made.seconds_left for made in told(clock)][2:11]
    assert left == pytest.approx([10 - done + forecast._DESCENT * 9 for done in range(2, 11)])


def test_the_time_to_learn_is_foreseen_while_looking_and_counts_down(clock):
    stages = [(made.stage, made.seconds_left) for made in told(clock, learning=30)]
    posing = forecast._DESCENT * 10
    assert stages[10] == ("detect", pytest.approx(30 + forecast._DESCENT * 9))
    left = [seconds for stage, seconds in stages if stage == "adapt"]
    assert left == pytest.approx([30 - spent + posing for spent in range(30)])


def test_learning_that_ends_early_leaves_the_posing(clock):
    made = forecast.Forecast(600.0)
    for stage in (
        ("detect", 1, 2),
        ("detect", 2, 2),
        ("adapt 1/1", 1, 300),
        ("pose 1/1", 1, None),
    ):
        clock[0] += 5
        made.hear(*stage)
    assert made.seconds_left == pytest.approx(forecast._DESCENT * 10)


def test_people_are_told_apart_within_one_stage(clock):
    people = {made.person for made in told(clock) if made.stage == "pose"}
    assert people == {"1/2", "2/2"}


@pytest.mark.parametrize("total", [None, 0])
def test_an_unknown_stage_or_length_is_no_error(clock, total):
    made = forecast.Forecast()
    made.hear("dream", 3, total)
    assert made.share == 0 and made.seconds_left is None
