"""People are found and ticked in a window, and a result is solved again with other smoothing."""

import pytest


@pytest.fixture(scope="module")
def facts(run_scenario):
    return run_scenario("choosing")


def test_scenario_finishes(facts):
    assert facts["finished"]


def test_a_cancelled_look_leaves_nothing(facts):
    assert facts["command"] == "people" and facts["found_after_cancel"] == 0


def test_people_are_listed_with_pictures_until_another_clip_is_chosen(facts):
    assert facts["found"] and all(facts["icons"])
    assert facts["found_of_other_clip"] == 0


def test_who_is_ticked_is_reconstructed(facts):
    assert facts["people"] == ["Person 1 - walker"]


def test_more_smoothing_makes_the_kept_character_smoother(facts):
    assert facts["smoothing"] == 1.0 and facts["smoothing_again"] == 8.0
    assert facts["people_again"] == facts["people"] and facts["constraints"] == ["Mine"]
    assert facts["smooth"] < facts["rough"]
