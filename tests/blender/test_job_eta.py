"""Progress estimate: the fraction only grows; the time left is exact for a constant pace."""

import pytest
from bl_ext.user_default.hund.bridge import eta


@pytest.fixture
def clock(monkeypatch):
    """A clock that advances only when the test sets it."""
    now = [100.0]
    monkeypatch.setattr(eta.time, "monotonic", lambda: now[0])
    return now


def estimates(clock, people=2, frames=10, seconds=1.0, pose_steps=20, adapt_seconds=0):
    """The estimate after each progress event of a backend with a constant pace."""
    estimate = eta.ProgressEstimate(float(adapt_seconds))
    events = [("load", 0, None), *(("detect", done, frames) for done in range(1, frames + 1))]
    for person in range(1, people + 1) if adapt_seconds else ():
        steps = adapt_seconds // people
        events += [(f"adapt {person}/{people}", step, 3 * steps) for step in range(1, steps + 1)]
    for person in range(1, people + 1):
        events += [(f"pose {person}/{people}", step, None) for step in range(pose_steps // people)]
    for event in events:
        estimate.update(*event)
        yield estimate
        clock[0] += seconds


@pytest.mark.parametrize("adapt_seconds", [0, 6, 60])
def test_fraction_only_grows_and_stays_below_one(clock, adapt_seconds):
    fractions = [each.fraction for each in estimates(clock, adapt_seconds=adapt_seconds)]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] and fractions[-1] < 1


def test_time_left_is_unknown_before_first_frame_and_in_overtime(clock):
    left = [each.seconds_left for each in estimates(clock)]
    assert left[:2] == [None, None] and None not in left[2:12]
    assert left[-1] is None


def test_time_left_is_exact_at_constant_pace(clock):
    left = [each.seconds_left for each in estimates(clock)][2:11]
    assert left == pytest.approx([10 - done + eta._POSE_PER_DETECT * 9 for done in range(2, 11)])


def test_time_left_includes_adaptation_and_counts_down(clock):
    stages = [(each.stage, each.seconds_left) for each in estimates(clock, adapt_seconds=30)]
    pose_seconds = eta._POSE_PER_DETECT * 10
    assert stages[10] == ("detect", pytest.approx(30 + eta._POSE_PER_DETECT * 9))
    left = [seconds for stage, seconds in stages if stage == "adapt"]
    assert left == pytest.approx([30 - elapsed + pose_seconds for elapsed in range(30)])


def test_adaptation_that_ends_early_leaves_only_posing(clock):
    estimate = eta.ProgressEstimate(600.0)
    for event in (
        ("detect", 1, 2),
        ("detect", 2, 2),
        ("adapt 1/1", 1, 300),
        ("pose 1/1", 1, None),
    ):
        clock[0] += 5
        estimate.update(*event)
    assert estimate.seconds_left == pytest.approx(eta._POSE_PER_DETECT * 10)


def test_person_is_separated_from_stage(clock):
    people = {each.person for each in estimates(clock) if each.stage == "pose"}
    assert people == {"1/2", "2/2"}


@pytest.mark.parametrize("total", [None, 0])
def test_unknown_stage_or_total_is_no_error(clock, total):
    estimate = eta.ProgressEstimate()
    estimate.update("dream", 3, total)
    assert estimate.fraction == 0 and estimate.seconds_left is None
