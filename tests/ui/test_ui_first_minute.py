"""First minute in an empty profile, offline: the sample becomes people who move.

`facts["seconds"]`, from before the installation to the characters, is for the log: no test is
judged by the clock.
"""

import pytest


@pytest.fixture(scope="module")
def facts(run_scenario):
    return run_scenario("first_minute", offline=True)


def test_scenario_finishes_without_an_error(facts):
    assert facts["finished"] and not facts["errors"]


def test_sample_becomes_people_who_move(facts):
    assert len(facts["people"]) == 2
    assert min(facts["moved"].values()) > 0.1
