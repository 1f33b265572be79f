"""A motion is applied to an armature in a window: with progress, Escape cancels it, undo works."""

import pytest


@pytest.fixture(scope="module")
def facts(run_scenario):
    return run_scenario("applying")


def test_scenario_finishes(facts):
    assert facts["finished"]


def test_long_work_shows_progress_and_lets_nothing_change(facts):
    assert facts["progress"] is not None and facts["progress_after_undo"] is not None


def test_escape_leaves_nothing(facts):
    assert facts["counts_unchanged"] and not facts["has_keys"]


def test_the_motion_is_applied_and_one_undo_takes_it_back(facts):
    assert facts["action"] == "Source on makehuman"
    assert not facts["action_after_undo"]
